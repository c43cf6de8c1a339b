"""Engines that let several processes train one model; `parallel` puts them to work."""
