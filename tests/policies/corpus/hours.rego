package mandate

default allow := false

now := time.parse_rfc3339_ns(input.context.time)

allow if {
	[hour, minute, _] := time.clock(now)
	hour * 60 + minute >= 8 * 60
	hour < 18
}

deny contains time.weekday([now, "America/New_York"])

deny contains sprintf("%v", [time.date([now, "Asia/Kolkata"])])

deny contains sprintf("%d", [time.add_date(now, 0, 1, -3)])

deny contains sprintf("%v", [time.diff(now, 1700000000000000000)])

deny contains sprintf("%d", [time.parse_duration_ns("1h30m") + now])

deny contains time.format([now, "UTC", "2006-01-02T15:04:05Z07:00"])
