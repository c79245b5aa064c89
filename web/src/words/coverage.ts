/** Which kinds of scenes are there. */
export const en = {
  title: "Coverage",
};

export const zh: typeof en = {
  title: "覆盖率",
};
