package mandate

allow if input.subject.role == "owner"

allow := false if input.subject.role == "viewer"
