"""The mathematics: pure functions over arrays of any library. No file, no screen, no library by name."""
