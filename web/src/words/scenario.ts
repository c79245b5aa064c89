/** The viewer of a scenario. */
export const en = {
  title: "Scenario",
};

export const zh: typeof en = {
  title: "场景",
};
