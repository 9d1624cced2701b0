"""What rules that compare sites protect from, in sentences."""


def hostile_protection(bears: int, answers: int) -> list[str]:
    """Whom a rule protects from whom, and from whom not.

    Args:
        bears: Sites that may be wrong.
        answers: The fewest that a round has.
    """
    message = (
        f"Protects the model against hostile or broken sites: in a round of {answers} sites, the "
        f"fewest that it may have, up to {bears} cannot pull it far."
    )
    if bears < 1:
        message = (
            "Protects the model against no hostile site: a round may have too few sites for that, "
            "or the rule leaves none out."
        )
    end_message = (
        "Does not protect against the coordinator, which sees each site's update by itself; nor "
        "against small, patient changes and backdoors; nor facts and figures, which are plain sums."
    )
    return [message, end_message]
