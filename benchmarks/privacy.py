"""What privacy costs in time: DP-SGD against SGD, encryption at rest against none, by ratios."""

from _at_rest import at_rest
from _common import arguments, report
from _private_training import mlp, unet


def main() -> None:
    given = arguments(__doc__).parse_args()
    quick = given.quick
    rows = [*mlp(quick=quick), *unet(quick=quick), *at_rest(quick=quick)]
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()
