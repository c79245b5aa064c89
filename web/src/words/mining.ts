/** Finding moments with conditions. */
export const en = {
  title: "Mining",
};

export const zh: typeof en = {
  title: "场景挖掘",
};
