/** The group of pages on research. */
export const en = {
  title: "Research",
  lead: "From recordings to scenarios, and from scenarios to a verdict on a planner.",
  about: {
    runs: "What planners did in the scenarios, and what stops one.",
  },
};

export const zh: typeof en = {
  title: "研究",
  lead: "从记录到场景，从场景到对规划器的判定。",
  about: {
    runs: "规划器在场景中的表现，以及哪些问题会阻止它。",
  },
};
