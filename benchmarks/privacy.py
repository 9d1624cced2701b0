"""What privacy costs in time: DP-SGD against SGD, by ratios within one run."""

from _common import arguments, report
from _private_training import mlp, unet


def main() -> None:
    given = arguments(__doc__).parse_args()
    rows = [*mlp(quick=given.quick), *unet(quick=given.quick)]
    report(rows, as_json=given.json)


if __name__ == "__main__":
    main()
