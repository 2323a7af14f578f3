"""Policies of infra/budget.yaml."""

from nodes import listed, properties

COUNTED = {"TagKeyValue": [{"Fn::Join": ["$", [{"Ref": "TagKey"}, {"Ref": "TagValue"}]]}]}
SUBSCRIBERS = [{"SubscriptionType": "EMAIL", "Address": {"Ref": "AlarmEmail"}}]
# A small stack costs less than this a month, in USD.
SMALL = 3


def only_a_budget_is_made(template):
    """What AWS could do by itself when a budget is used up needs a role that may stop everything."""
    kinds = [resource["Type"] for resource in template["Resources"].values()]
    if kinds != ["AWS::Budgets::Budget"]:
        yield f"it makes {kinds}"


def a_budget_is_what_was_asked_for(template):
    for name, facts in properties(template, "Budgets::Budget").items():
        budget = facts["Budget"]
        if (budget["BudgetType"], budget["TimeUnit"]) != ("COST", "MONTHLY"):
            yield f"{name} is about {budget['BudgetType']}, {budget['TimeUnit']}"
        if budget.get("BudgetLimit") != {"Amount": {"Ref": "MonthlyBudget"}, "Unit": "USD"}:
            yield f"{name} is not MonthlyBudget"
        # The next one has to exist before it goes, and no two have the same name.
        if "BudgetName" in budget:
            yield f"{name} has a name, so it cannot be replaced"
    least = template["Parameters"]["MonthlyBudget"]["MinValue"]
    if least > SMALL:
        yield f"a stack that costs USD {SMALL} can have no budget below {least}"


def only_what_has_the_tag_is_counted(template):
    for name, facts in properties(template, "Budgets::Budget").items():
        if facts["Budget"].get("CostFilters") != COUNTED:
            yield f"{name} counts {facts['Budget'].get('CostFilters', 'the whole account')}"


def a_budget_writes_what_was_spent_and_what_will_be(template):
    """Each once the whole budget is used, and to the address that was given."""
    for name, facts in properties(template, "Budgets::Budget").items():
        written = set()
        for it in listed(facts.get("NotificationsWithSubscribers", [])):
            about = it["Notification"]
            written.add(about["NotificationType"])
            when = (about["ComparisonOperator"], about.get("ThresholdType"), about["Threshold"])
            if when != ("GREATER_THAN", "PERCENTAGE", 100):
                yield f"{name} writes at {when}"
            if it["Subscribers"] != SUBSCRIBERS:
                yield f"{name} writes to {it['Subscribers']}"
        if written != {"ACTUAL", "FORECASTED"}:
            yield f"{name} writes about {sorted(written)}"


POLICIES = [
    only_a_budget_is_made,
    a_budget_is_what_was_asked_for,
    only_what_has_the_tag_is_counted,
    a_budget_writes_what_was_spent_and_what_will_be,
]
