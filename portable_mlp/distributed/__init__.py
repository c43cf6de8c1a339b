"""Data-parallel training by several processes: their group, and the engines that connect them."""
