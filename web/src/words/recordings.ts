/** Recordings: what is there, and how more comes in. */
export const en = {
  title: "Recordings",
};

export const zh: typeof en = {
  title: "记录",
};
