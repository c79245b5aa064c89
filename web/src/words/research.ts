/** The group of pages on research. */
export const en = {
  title: "Research",
  lead: "From recordings to scenarios, and from scenarios to a verdict on a planner.",
  about: {
    recordings: "What cars and others recorded, with where it comes from and why it may be kept.",
    mining: "Find the moments that matter with a condition.",
    coverage: "Which kinds of scenes are there, and which are missing.",
    runs: "What planners did in the scenarios, and what stops one.",
  },
};

export const zh: typeof en = {
  title: "研究",
  lead: "从记录到场景，从场景到对规划器的判定。",
  about: {
    recordings: "车辆及他方的记录，包括来源与保存依据。",
    mining: "用条件找出重要的时刻。",
    coverage: "有哪些类型的场景，缺少哪些。",
    runs: "规划器在场景中的表现，以及哪些问题会阻止它。",
  },
};
