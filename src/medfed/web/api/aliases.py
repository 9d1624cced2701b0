"""Addresses without a version, for those who know the service by them."""

from apiflask import APIBlueprint

from medfed.web.api import runs

blueprint = APIBlueprint("aliases", __name__, url_prefix="/api/runs", enable_openapi=False)
blueprint.add_url_rule("/<run>/feature-importance", view_func=runs.get_importance)
blueprint.add_url_rule("/<run>/feature-importance.png", view_func=runs.get_importance_png)
