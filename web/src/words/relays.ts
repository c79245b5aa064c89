/** What is told to authorities' platforms by GB/T 32960. */
export const en = {
  title: "Relay",
  text: "What chosen cars report is told to authorities' platforms by GB/T 32960.",
  none: "Nothing is told to any platform",
  noneText: "No relay is declared. Write one into the flows file, name that file in the zone's configuration, and start the zone anew:",
  example: `relays:
  city:
    to: city-centre
    address: platform.example:32960
    edition: 2016
    user: carmaker
    password_file: /etc/carcloud/city.password
    code: CARMAKER000000001
    purpose: reporting
    why: The law has new energy vehicles report to the city's platform.
    classes: [personal, sensitive, operational]
    limits: {personal: 10000, sensitive: 10000}
    vehicles: all`,
  exampleFile: "flows.yaml",
  config: `flows = "flows.yaml"`,
  configFile: "the zone's configuration",
  noneCheck: "The purpose is one of the governance's. This checks the file before anything is told:",
  to: (who: string) => `to ${who}`,
  edition: (year: number) => `edition of ${year}`,
  states: { up: "connected", connecting: "connecting", waiting: "waits for the next try", ended: "ended" },
  since: (when: string) => `since ${when}`,
  ended: "Its last day is over; nothing is told any more.",
  cars: "Cars",
  sent: "Sent",
  accepted: "Accepted",
  refused: "Refused",
  refusedText: "Refused: given up after three refusals.",
  waiting: "Waiting",
  oldest: "Oldest waiting",
  nextTry: "Next try",
  inSpan: (span: string) => `in ${span}`,
  now: "now",
  expired: "Expired",
  expiredText: "(not told within seven days).",
  dropped: "Dropped",
  droppedText: "(of cars that are told of no more, or without anything a report can say).",
  counts: "Reports, since the relay was first declared.",
  leftOut: "Cars that are not told of",
  reasons: {
    unknown: "named in the flows file, but not of this zone",
    without_consent: "without the consent that the purpose needs",
    without_vin: "without a VIN",
    stopped: "over the limit of the export meter",
  } as Record<string, string>,
  lastError: "Last error",
  tries: "It tries again after a minute, three times, then every half hour. What waits is kept for seven days.",
};

export const zh: typeof en = {
  title: "平台转发",
  text: "按 GB/T 32960 向监管平台转发所选车辆的上报内容。",
  none: "未向任何平台转发",
  noneText: "尚未声明转发。请在流向文件中声明，在本域配置中指定该文件，然后重新启动本域：",
  example: `relays:
  city:
    to: city-centre
    address: platform.example:32960
    edition: 2016
    user: carmaker
    password_file: /etc/carcloud/city.password
    code: CARMAKER000000001
    purpose: reporting
    why: 依法向市级平台上报新能源汽车数据。
    classes: [personal, sensitive, operational]
    limits: {personal: 10000, sensitive: 10000}
    vehicles: all`,
  exampleFile: "flows.yaml",
  config: `flows = "flows.yaml"`,
  configFile: "本域配置",
  noneCheck: "目的须为治理文件中的目的之一。以下命令可在转发之前检查该文件：",
  to: (who) => `发往 ${who}`,
  edition: (year) => `${year} 版`,
  states: { up: "已连接", connecting: "正在连接", waiting: "等待重试", ended: "已结束" },
  since: (when) => `自 ${when}`,
  ended: "已过最后一日，不再转发。",
  cars: "车辆",
  sent: "已发送",
  accepted: "已接受",
  refused: "被拒绝",
  refusedText: "“被拒绝”指三次被拒后放弃。",
  waiting: "待发送",
  oldest: "最早待发",
  nextTry: "下次重试",
  inSpan: (span) => `${span}后`,
  now: "现在",
  expired: "已过期",
  expiredText: "（七天内未能发送）。",
  dropped: "已丢弃",
  droppedText: "（所属车辆不再转发，或无可上报的内容）。",
  counts: "报文数，自首次声明起计。",
  leftOut: "未转发的车辆",
  reasons: {
    unknown: "流向文件中列出，但不属于本域",
    without_consent: "缺少该目的所需的同意",
    without_vin: "没有 VIN",
    stopped: "超过出域计量上限",
  },
  lastError: "最近的错误",
  tries: "先每分钟重试一次，共三次，之后每半小时一次。待发内容保留七天。",
};
