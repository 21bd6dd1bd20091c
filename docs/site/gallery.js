// Filters the gallery of experts by words, tier and kind.
document.addEventListener("DOMContentLoaded", () => {
  const tools = document.querySelector(".gallery-tools");
  if (!tools) return;
  const [words, tier, kind] = ["words", "tier", "kind"].map((name) => document.getElementById(`gallery-${name}`));
  const experts = [...document.querySelectorAll(".expert")].map((card) => [card, card.textContent.toLowerCase()]);
  const filter = () => {
    const wanted = words.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const [card, text] of experts) {
      card.hidden = !(
        wanted.every((word) => text.includes(word)) &&
        (!tier.value || card.dataset.tiers.split(" ").includes(tier.value)) &&
        (!kind.value || card.dataset.kind === kind.value)
      );
      shown += !card.hidden;
    }
    document.getElementById("gallery-count").textContent = `${shown} of ${experts.length}`;
  };
  for (const one of [words, tier, kind]) one.addEventListener("input", filter);
  tools.hidden = false;
  filter();
  const linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (linked?.matches(".expert")) linked.open = true;
});
