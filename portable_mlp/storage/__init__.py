"""Files: models and tables, read strictly and replaced in one step."""
