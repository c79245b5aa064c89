/** Runs of planners through scenarios, and verdicts on them. */
export const en = {
  title: "Runs",
  gate: "Verdict",
};

export const zh: typeof en = {
  title: "运行",
  gate: "判定",
};
