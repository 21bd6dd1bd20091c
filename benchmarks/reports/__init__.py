"""What writes reports: from result files to scores, and from scores to tables, figures and leaderboard files."""
