"""The sentences of reports, in English and Chinese; what stands in a governance file stays in the file's language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Say = Callable[..., str]

_PHRASES: dict[str, tuple[str, str]] = {
    "blank": ("TO BE FILLED IN", "待填写"),
    "none": ("none", "无"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "count": ("number", "数量"),
    "what": ("what", "项目"),
    "state": ("state", "状态"),
    # titles
    "processing": ("Record of processing activities", "个人信息处理活动记录"),
    "processing_note": (
        "Article 30 GDPR. Made by carcloud from what is in force in the zone {zone}, tenant {tenant}, on {today}. "
        "No legal advice: have it read by your data-protection officer.",
        "依据 GDPR 第 30 条，由 carcloud 根据区域 {zone}（租户 {tenant}）在 {today} 的现行配置生成。"
        "不构成法律意见，请由数据保护负责人审阅。",
    ),
    "impact": ("Data protection impact assessment: draft", "个人信息保护影响评估（草稿）"),
    "impact_note": (
        "A draft by article 35 GDPR, made from what is in force in the zone {zone}, tenant {tenant}, on {today}. "
        "What only people can judge is left open. It is no assessment until somebody answers for it.",
        "依据 GDPR 第 35 条及《个人信息保护法》第 55、56 条的草稿，"
        "根据区域 {zone}（租户 {tenant}）在 {today} 的现行配置生成。"
        "须由人判断的部分留空；在有人负责之前不是正式评估。",
    ),
    "annual": ("Automotive data security: report for {year}", "{year} 年度汽车数据安全管理情况报告"),
    "annual_note": (
        "Items of articles 13 and 14 of the Several Provisions on Automotive Data Security Management (Trial), due by "
        "15 December. Numbers of the zone {zone}, tenant {tenant}, up to {today}. A draft, not legal advice.",
        "按《汽车数据安全管理若干规定（试行）》第十三、十四条所列事项整理，应于 12 月 15 日前报送。"
        "数据来自区域 {zone}（租户 {tenant}），"
        "截至 {today}。草稿，不构成法律意见。",
    ),
    "about": ("Your data", "您的数据"),
    "about_note": (
        "This goes with a copy of all that the zone {zone} held of one car on {today}, the rows under its pseudonyms "
        "included. Files: JSON, and Parquet for the samples.",
        "本文件随附区域 {zone} 在 {today} 所持有的某一车辆的全部数据副本，"
        "包括其假名下的数据。格式：JSON；样本为 Parquet。",
    ),
    "rights": ("Your rights", "您的权利"),
    "rights_line": (
        "You may have data corrected, erased, restricted or handed to another, object to their use, and take a consent "
        "back at any time: ask the contact above.",
        "您可以要求更正、删除、限制处理或转移数据，拒绝处理，并可随时撤回同意：请联系上述联系人。",
    ),
    "complaint_line": (
        "You may complain to the authority for data protection where you live.",
        "您可以向所在地的数据保护主管部门投诉。",
    ),
    # the controller
    "controller": ("Controller", "数据处理者"),
    "name": ("name", "名称"),
    "address": ("address", "地址"),
    "contact": ("contact", "联系方式"),
    "officer": ("data-protection officer", "个人信息保护负责人"),
    "security": ("responsible for data security", "数据安全负责人"),
    "user_rights": ("contact for users' rights", "用户权益事务联系方式"),
    "zone": ("zone", "区域"),
    "region": ("region", "所在地"),
    "governance": ("governance in force", "现行治理策略"),
    # purposes and data
    "purposes": ("Purposes", "处理目的"),
    "purpose": ("purpose", "目的"),
    "basis": ("legal basis", "法律依据"),
    "why": ("why", "说明"),
    "agreed": ("cars whose people agreed", "已同意的车辆"),
    "data": ("Categories of data", "数据类别"),
    "class": ("class", "类别"),
    "signals": ("signals", "信号"),
    "necessity": ("why it is needed", "必要性"),
    "changed": ("made less exact", "脱敏与精度"),
    "kept_for": ("kept for", "保存期限"),
    "days": ("{days} days", "{days} 天"),
    "until_erased": ("until the car is erased", "直至该车数据被删除"),
    "dropped": (
        "{unnamed} signals of the catalogue are named by no rule and dropped: nothing is collected by default.",
        "目录中有 {unnamed} 个信号未被任何规则列出，一律丢弃：默认不收集。",
    ),
    "subjects": ("Whose data", "数据主体"),
    "people": (
        "Keepers, drivers and passengers of {vehicles} enrolled vehicles.",
        "{vehicles} 辆在册车辆的车主、驾驶人、乘车人。",
    ),
    "persons_outside": ("People outside the cars are not recorded.", "不记录车外人员。"),
    # recipients
    "recipients": ("Recipients, and what leaves the zone", "接收方与数据出域"),
    "flow": ("flow", "流"),
    "to": ("to the zone", "接收区域"),
    "classes": ("classes", "类别"),
    "pseudonym": ("under another name", "假名化"),
    "people_left": ("people, {year}", "{year} 年人数"),
    "limit": ("limit", "上限"),
    "assessment": ("security assessment", "安全评估"),
    "no_flows": ("No flow is declared: nothing leaves the zone.", "未声明任何流：数据不离开本区域。"),
    "stopped": (
        "Reads refused in {year} since a limit was reached: {stopped}.",
        "{year} 年因达到上限而被拒绝的读取：{stopped} 次。",
    ),
    # safeguards
    "measures": ("Technical and organisational measures", "技术与管理措施"),
    "measure_tls": ("TLS for cars, oldest version", "车端 TLS 最低版本"),
    "measure_certificates": ("life of a car's certificate", "车辆证书有效期"),
    "measure_erasure": ("erasure of all data of a car", "按车删除全部数据"),
    "measure_sealed": ("VINs sealed in the records; quarantine encrypted", "记录中 VIN 加密；隔离区加密"),
    "measure_audit": ("audit log, tamper-evident, with witness", "可验证审计日志及见证"),
    "measure_orders": ("orders to cars signed, checked by the car", "对车指令签名并由车端校验"),
    "measure_factor": ("active people with a second factor", "启用双因素的人员"),
    "measure_backup": ("last backup", "最近备份"),
    "measure_open": ("cars that seem to be two", "疑似克隆的车辆"),
    # requests
    "requests": ("Requests by people", "个人权利请求"),
    "kind": ("kind", "种类"),
    "received": ("received in {year}", "{year} 年收到"),
    "done": ("done", "已完成"),
    "refused": ("refused", "已拒绝"),
    "open": ("open", "处理中"),
    "late": ("beyond the deadline", "超期"),
    "access": ("access", "查阅、复制"),
    "rectification": ("rectification", "更正"),
    "erasure": ("erasure", "删除"),
    "restriction": ("restriction", "限制处理"),
    "portability": ("portability", "转移"),
    "objection": ("objection", "拒绝处理"),
    # the draft assessment
    "description": ("What is done", "处理活动描述"),
    "rules_apart": ("Signals, and how they are treated", "信号与处理方式"),
    "risks": ("What to look at", "需关注的风险"),
    "risk": ("finding", "发现"),
    "where": ("where", "位置"),
    "judgement": ("judgement, and what is done about it", "判断与措施"),
    "risk_sensitive": ("sensitive data are kept", "保存敏感个人信息"),
    "risk_important": ("important data are kept", "保存重要数据"),
    "risk_place": ("places are kept as they came", "位置以原始精度保存"),
    "risk_forever": ("personal data without a retention", "个人数据未设保存期限"),
    "risk_id": ("personal data under the car's own id", "个人数据使用车辆固有编号"),
    "risk_interest": ("personal data on legitimate interest", "个人数据以合法利益为依据"),
    "risk_leaves": ("data leave for another zone", "数据离开本区域"),
    "risk_own_id": ("data leave under the car's own id", "数据以车辆固有编号离开"),
    "risk_backups": (
        "backups can still be opened whose data are all older than the longest retention, {days} days",
        "仍可打开的备份中，数据均已超过最长保存期限 {days} 天",
    ),
    "risk_late": ("{late} requests of {year} were late", "{year} 年有 {late} 件请求超期"),
    "no_risks": ("The rules give none of the findings that are looked for.", "未发现所检查的问题。"),
    "opinions": ("Opinions", "意见"),
    "opinion_officer": ("of the data-protection officer", "个人信息保护负责人意见"),
    "opinion_people": ("of the people concerned, or why they were not asked", "数据主体意见或未征求的理由"),
    "decision": ("Decision, by whom, when", "结论、负责人与日期"),
    # the year
    "incidents": ("Incidents, and how they were dealt with", "安全事件与处置"),
    "incidents_line": (
        "carcloud counts no incidents yet; cars suspected to be cloned and open: {suspected}.",
        "carcloud 暂不统计安全事件；未结的疑似克隆车辆：{suspected}。",
    ),
    "sharing": ("Data given to others within the country", "境内对外提供"),
    "scale": ("Scale", "规模"),
    "vehicles": ("enrolled vehicles", "在册车辆"),
    "erased": ("vehicles erased", "已删除数据的车辆"),
    "place_kept": ("Place and time of storage", "保存地点与期限"),
    "place_line": ("All data are kept in: {region}.", "全部数据保存于：{region}。"),
    "complaints": ("Complaints of users, and what became of them", "用户投诉及处理"),
}


def phrases(language: Language) -> Say:
    """Return what says a phrase in a language, its blanks filled in: `say("days", days=30)`."""
    at = LANGUAGES.index(language)

    def say(key: str, **blanks: object) -> str:
        return _PHRASES[key][at].format(**blanks)

    return say
