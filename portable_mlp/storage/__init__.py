"""Model files, tensor files and checkpoint folders, read strictly and replaced in one step."""
