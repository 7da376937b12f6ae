"""The menu as data: a pure function of the state, and the actions that its entries trigger."""
