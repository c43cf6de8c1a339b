"""Several processes that train one model: the groups they form, and the engines that join them."""
