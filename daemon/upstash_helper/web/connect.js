// The module follows.
export {};
