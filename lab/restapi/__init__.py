"""KKP's REST API as the lab serves it below /kkp: the way in for people who have no access to a seed.

Source: kubermatic/dashboard modules/api, named D in comments, and docs/platform.md 8.4.
It reads and writes through the lab's own clients, so KKP's webhooks and controllers see what it does. Refuses to hold
any object itself.
"""

from lab.restapi.app import RestApi
from lab.restapi.installation import Installation
from lab.restapi.people import People

__all__ = ["Installation", "People", "RestApi"]
