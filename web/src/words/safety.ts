/** The page that leads to all safety pages. */
export const en = {
  title: "Safety",
  lead: "Who may do what with cars and data, what is kept of it and why, and proof of what was done.",
  about: {
    terminals: "Cars and platforms that report by GB/T 32960: who is connected, what was wrong, and what one can tell them.",
    relays: "What authorities' platforms are told by GB/T 32960: how each line stands, and what waits.",
    governance: "What this zone keeps of what cars say, for which purpose, on which legal basis, how exactly, and where it goes.",
    identity: "Each car's certificate: who is active, whose ends soon, who is held back, and which may have been copied.",
    orders: "What people told cars to do, who signed it, and what became of it.",
    requests: "What people asked for about their data, until when it is answered, and the reports for authorities.",
    audit: "Every decision and act, in a log that nobody can change unseen. Check it in your own browser.",
    people: "Who uses this zone, what their roles allow, and what waits for a second person.",
    account: "Your password, your second factor, your tokens, and what you may do.",
  },
  notYours: "Your roles do not open this page.",
  notYoursText: "Ask who runs the zone for a role that does. These pages are open to you:",
  withFactor: "It opens when you sign in with a second factor.",
};

export const zh: typeof en = {
  title: "安全",
  lead: "谁可以对车辆和数据做什么，保存了哪些数据、为什么保存，以及所做之事的证明。",
  about: {
    terminals: "按 GB/T 32960 上报的车辆与平台：谁在线、有何异常、可以下发什么。",
    relays: "按 GB/T 32960 向监管平台转发：每条线路的状况与待发内容。",
    governance: "本域保存车辆数据中的哪些内容、用于何种目的、依据何种法律、精确到什么程度、流向何处。",
    identity: "每辆车的证书：哪些有效，哪些即将到期，哪些被隔离，哪些可能被复制。",
    orders: "人员向车辆下达的指令、由谁签名、结果如何。",
    requests: "当事人就其数据提出的请求、答复期限，以及报送主管部门的报告。",
    audit: "每个决定与操作都记录在无法暗中篡改的日志中，可在您的浏览器中自行验证。",
    people: "谁在使用本域、各角色的权限，以及等待第二人批准的事项。",
    account: "您的密码、第二因素、令牌，以及您可以做什么。",
  },
  notYours: "您的角色无权打开此页面。",
  notYoursText: "请向本域的运营者申请相应角色。您可以打开以下页面：",
  withFactor: "使用第二因素登录后即可打开。",
};
