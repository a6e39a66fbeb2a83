/// Functions that run by the clock.
extension Schema {
    static let schedule = [
        SchemaKey("schedule", .oneOrMany(.text(maximum: 256)), "When its `scheduled` handler runs, by cron expressions in UTC: `*/5 * * * *` (minute, hour, day of the month, month, day of the week), with seconds in front if there are six, or `@hourly`, `@daily` and the like. One worker runs each."),
        SchemaKey("overlap", .choice(["skip", "allow"]), "What happens when a schedule's last run goes on: this one is left out (default), or runs beside it."),
    ]
}

extension ConfigurationBuilder {
    func schedules(_ function: inout Function, _ object: ParsedObject) {
        function.mayOverlap = object["overlap"]?.text == "allow"
        for element in object["schedule"].map({ $0.text != nil ? [$0] : $0.list }) ?? [] {
            guard let text = element.text else { continue }
            guard let cron = CronSchedule(text) else {
                reporter.report(
                    .time, "`\(text)` is no cron expression, or one whose time never comes", at: element.position,
                    label: "write `*/5 * * * *`: minute, hour, day of the month, month, day of the week")
                continue
            }
            if function.schedules.contains(where: { $0.cron == cron }) {
                reporter.report(.duplicateName, "the schedule `\(text)` stands here twice", at: element.position)
            } else {
                function.schedules.append(Function.Schedule(cron: cron, position: element.position))
            }
        }
        if !function.schedules.isEmpty { reporter.mention("function", function.name) }
    }
}
