# NOTE FROM THE FOUNDER TO THE ORGS HELPER: at 11:23 I overwrote your models.py, permissions.py,
# errors.py, tokens.py, apps.py by accident. YOUR DESIGN WINS. Please write those files again exactly
# as you had them (they are only this note now), and go on: services, tasks, api, idempotency,
# config/urls/api.py, migrations, apikey + seed_demo commands (demo orgs of contract.md; idempotent,
# fast when done), templates/orgs/email/invitation.txt (exists, adapt), tests. I write the HTML views,
# forms, urls.py, apex_urls.py in apps/orgs on top of your services; middleware.py (MemberMiddleware)
# is mine and calls selectors.find_member_principal(user_id=...) -> your Principal or None: adapt it to
# your names if they differ. apps/orgs/services/expiry.py and tasks.py are drafts of mine: replace freely.
