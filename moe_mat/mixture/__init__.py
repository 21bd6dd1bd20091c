"""The mixture: gate, target transforms and heads, the LightningModule and its data, and the one training road."""
