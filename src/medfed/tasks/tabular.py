"""Yes or no from a table: logistic regression, or a small network."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from medfed.core.categories import category_key
from medfed.core.conditions import Condition
from medfed.core.data import TABLE, SetName, SiteData
from medfed.core.errors import DataError, PartError, Problem, Refused, StudyError
from medfed.core.mechanism import Bounds
from medfed.core.options import option
from medfed.core.query import Query
from medfed.core.questions import Question
from medfed.core.task import Execution, Interval, LocalJob
from medfed.core.update import Facts, Stats, Tensors
from medfed.tasks import input_units, public_facts
from medfed.tasks.columns import category_keys, load_table, load_training_table
from medfed.tasks.columns import numbers as number_columns
from medfed.tasks.encoding import Encoder, Scaling
from medfed.tasks.facts import Moments, Vocabulary
from medfed.tasks.importance import importance
from medfed.tasks.metrics import (
    HIGHER_IS_BETTER,
    classification_metrics,
    coarse_counts,
    figures,
    from_coarse,
)
from medfed.tasks.tabular_answers import log_odds, questions
from medfed.tasks.tabular_learning import evaluate, explain, loss

if TYPE_CHECKING:
    from torch import nn

    from medfed.frameworks.examples import TableBatch, TensorExamples

_SETS: tuple[SetName, ...] = ("train", "valid", "test")
_NORM_TENSORS = {
    "layer": ("weight", "bias"),
    "batch": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}
_ORDER = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}


@dataclass(frozen=True)
class TabularClassification:
    """Tell two classes of patients apart by the columns of a table.

    Missing values are filled with the federated mean or most common value, also where a site lacks
    a column wholly: it still trains on what it has. A value that the federated vocabulary does not
    know becomes zeros. A patient without a label is an error: leave such patients out by
    ``[cohort]``.

    A site all of whose training patients have the same label refuses (``one-class``) by default:
    mostly the label rule is wrong there, and a site that silently pulls every answer to one side
    is hard to find later. Where it is so by nature, ``one_class = "train"`` lets it take part;
    figures that need both classes are then left out of its own row.
    """

    metric: ClassVar[str] = "auc"
    higher_is_better: ClassVar[Mapping[str, bool]] = HIGHER_IS_BETTER
    takes: ClassVar[str] = TABLE

    target: str = option(help="Column with the outcome")
    positive: str = option(
        "", help='Which outcomes are positive, such as "> 0" or "= malignant"; silent for 0 and 1'
    )
    numeric: tuple[str, ...] = option((), help="Columns used as numbers")
    categorical: tuple[str, ...] = option((), help="Columns used as categories, one input a value")
    drop_first: bool = option(False, help="Leave the first category of each column out")
    min_count: int = option(1, help="Patients of a site who must share a category", low=1)
    indicate_missing: bool = option(False, help="One more input for each column that has gaps")
    scaling: str = option(
        "federated",
        help="Standardise numbers by the mean of all sites, by the site's own, or not",
        choices=("federated", "local", "none"),
    )
    hidden: tuple[int, ...] = option(
        (), help="Units of each hidden layer; none for a logistic regression"
    )
    activation: str = option(
        "relu", help="Between hidden layers", choices=("relu", "tanh", "gelu", "silu")
    )
    norm: str = option("none", help="After hidden layers", choices=("none", "batch", "layer"))
    dropout: float = option(0.0, help="Share of hidden units left out in training", low=0, high=0.9)
    start: str = option(
        "zero",
        help="Where a logistic regression begins; a network begins at random",
        choices=("zero", "random"),
    )
    one_class: str = option(
        "refuse", help="What a site with one label in training does", choices=("refuse", "train")
    )

    public_ranges: Mapping[str, Any] | None = option(
        None,
        help="Usual lowest and highest value of numeric columns, such as 20 and 90 of age: such "
        "columns are scaled by them, and no site is asked for means",
    )
    public_values: Mapping[str, Any] | None = option(
        None,
        help="Values of categorical columns, such as 0 and 1 of sex: no site is asked for them",
    )
    facts_epsilon: float | None = option(
        None,
        help="ε for which means, spreads and most common values are asked for with noise, within "
        "what is declared; silent to take what is declared as it is",
        above=0,
    )
    units: Mapping[str, Any] | None = option(
        None,
        help="Units of numeric columns, such as years of age: shown where the model asks for them",
        later=True,
    )

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise PartError("the task cannot be used as given", problems)

    def _problems(self) -> Sequence[Problem]:
        found = []
        columns = self.numeric + self.categorical
        if not columns:
            remedy = "Name columns under numeric, categorical or both"
            found.append(Problem("task.numeric", "the model has no inputs", remedy))
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            message = f"{', '.join(twice)} is named twice"
            found.append(Problem("task.numeric", message, "Name each column once"))
        if self.target in columns:
            remedy = f"Remove {self.target} from the inputs"
            found.append(Problem("task.target", "the outcome is among the inputs", remedy))
        if any(units < 1 for units in self.hidden):
            found.append(Problem("task.hidden", "a layer has no units", "Give 1 or more for each"))
        if not self._rule_holds():
            remedy = 'Write a comparison and a value, such as "> 0" or "= malignant"'
            message = f"{self.positive!r} does not say which outcomes are positive"
            found.append(Problem("task.positive", message, remedy))
        found += input_units.problems(self.numeric, self.units or {})
        known = self.public_ranges or {}, self.public_values or {}
        found += public_facts.problems(self.numeric, self.categorical, *known)
        absent = self._unknown(self.numeric, known[0]) + self._unknown(self.categorical, known[1])
        if self.facts_epsilon is not None and absent:
            message = (
                f"noise is made for declared ranges and values, and {', '.join(absent)} has none"
            )
            remedy = "Declare them under public_ranges and public_values"
            found.append(Problem("task.facts_epsilon", message, remedy))
        return found

    def leaks(self) -> Sequence[Problem]:
        """What would leave a site without noise; see `medfed.core.mechanism.PrivateTask`."""
        found = []
        if absent := self._unknown(self.numeric, self.public_ranges):
            message = f"the sites would be asked for sums of {', '.join(absent)}, without noise"
            remedy = f'Declare their usual range: public_ranges = {{ "{absent[0]}" = [20, 90] }}'
            found.append(Problem("task.public_ranges", message, remedy))
        if absent := self._unknown(self.categorical, self.public_values):
            message = f"the sites would be asked for counts of {', '.join(absent)}, without noise"
            remedy = f'Declare the values: public_values = {{ "{absent[0]}" = ["0", "1"] }}'
            found.append(Problem("task.public_values", message, remedy))
        if self.scaling == "local":
            message = "one patient would change the scaling of all others at the site"
            found.append(Problem("task.scaling", message, 'Write scaling = "federated"'))
        if self.norm == "batch":
            message = "batch normalisation mixes patients"
            found.append(Problem("task.norm", message, 'Write norm = "layer" or "none"'))
        if self.one_class == "refuse":
            message = "a refusal would tell that all patients of a site have the same label"
            found.append(Problem("task.one_class", message, 'Write one_class = "train"'))
        return found

    def bounds(self) -> Bounds | None:
        """Of the inputs, where all are numbers with declared ranges; see `BoundedTask`."""
        absent = self._unknown(self.numeric, self.public_ranges)
        return None if absent or self.unbounded() else public_facts.bounds(len(self.numeric))

    def unbounded(self) -> Sequence[Problem]:
        """Inputs without bounds; those that `leaks` names have none either."""
        scaled = self.scaling == "federated"
        indicate = self.indicate_missing
        fitted = self.facts_epsilon is not None
        return list(
            public_facts.unbounded(
                self.categorical, standardised=scaled, indicate=indicate, fitted=fitted
            )
        )

    @staticmethod
    def _unknown(columns: Sequence[str], known: Mapping[str, Any] | None) -> tuple[str, ...]:
        return tuple(column for column in columns if column not in (known or {}))

    def _rule(self) -> Condition:
        return Condition.parse(f"outcome {self.positive or '= 1'}")

    def _rule_holds(self) -> bool:
        try:
            rule = self._rule()
        except StudyError:
            return False
        ordered = rule.how in (">", ">=", "<", "<=") and isinstance(rule.value, float)
        return rule.column == "outcome" and (ordered or rule.how in ("=", "!="))

    def prepare(self) -> Sequence[Query]:
        """Moments of the numeric columns, vocabularies of the categorical ones."""
        queries: list[Query] = []
        if self.facts_epsilon is not None:
            known = self.public_ranges or {}, self.public_values or {}
            return public_facts.noised(*known, self.facts_epsilon)
        numeric = self._unknown(self.numeric, self.public_ranges)
        categorical = self._unknown(self.categorical, self.public_values)
        if numeric and (self.scaling != "local" or self.indicate_missing):
            queries.append(Moments(columns=numeric))
        if categorical:
            queries.append(Vocabulary(columns=categorical, min_count=self.min_count))
        return queries

    def _facts(self, facts: Facts) -> Facts:
        """All facts: what the study declares comes before what was fitted."""
        known = public_facts.declared(
            self.public_ranges or {}, self.public_values or {}, indicate=self.indicate_missing
        )
        if self.facts_epsilon is not None:
            return public_facts.refined(known, facts)
        return {**facts, **{name: {**facts.get(name, {}), **known[name]} for name in known}}

    def execution(self) -> Execution:
        """One thread: batches of a table are too small to share."""
        return Execution(threads=1, precision="fp32", device="cpu")

    def encoder(self, facts: Facts) -> Encoder:
        """How tables become inputs, by the facts."""
        return Encoder.from_facts(
            self.numeric,
            self.categorical,
            self._facts(facts),
            scaling=cast(Scaling, self.scaling),
            drop_first=self.drop_first,
            indicate_missing=self.indicate_missing,
        )

    def outcome(self) -> str:
        """Of what a probability is; see `medfed.core.questions`."""
        return f"{self.target} {self.positive or '= 1'}"

    def questions(self, facts: Facts) -> Sequence[Question]:
        """What a form asks; see `medfed.core.questions`."""
        return questions(self.encoder(facts), self.public_ranges or {}, self.units or {})

    def log_odds(
        self, model: Tensors, facts: Facts
    ) -> Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64]]:
        """A trained model for single patients; see `medfed.core.questions`."""
        return log_odds(self.build(facts), model, self.encoder(facts))

    def build(self, facts: Facts) -> "nn.Module":
        """The untrained module: layers called ``layer1`` … and ``head``."""
        from torch import nn

        activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "silu": nn.SiLU}
        norms = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        width = len(self.encoder(facts).inputs)
        for i, units in enumerate(self.hidden, start=1):
            layers[f"layer{i}"] = nn.Linear(width, units)
            if self.norm != "none":
                layers[f"norm{i}"] = norms[self.norm](units)
            layers[f"activation{i}"] = activations[self.activation]()
            if self.dropout:
                layers[f"dropout{i}"] = nn.Dropout(self.dropout)
            width = units
        layers["head"] = head = nn.Linear(width, 1)
        if not self.hidden and self.start == "zero":
            # A convex problem: every start leads to the same optimum, and zero is the plain one.
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        return nn.Sequential(layers)

    def tensor_names(self) -> Sequence[str]:
        """Of what `build` makes, without torch and data; see `medfed.core.task.NamedTask`."""
        places = range(1, len(self.hidden) + 1)
        tensors = _NORM_TENSORS.get(self.norm, ())
        found = [f"layer{i}.{each}" for i in places for each in ("weight", "bias")]
        found += [f"norm{i}.{each}" for i in places for each in tensors]
        return [*found, "head.weight", "head.bias"]

    def initial(self, seed: int, facts: Facts) -> Tensors:
        """The untrained model; the same for the same seed and facts."""
        from medfed.frameworks.torch_job import initial

        return initial(lambda: self.build(facts), seed)

    def job(self, data: SiteData, facts: Facts, seed: int, execution: Execution) -> LocalJob:
        """Open a site's workplace; all its patients are encoded once.

        Raises:
            DataError: A column is missing or holds what it should not, by name.
            Refused: No training patient, or all of one class.
        """
        from medfed.frameworks.torch_job import Learning, TorchJob, seeded_build

        encoder = self.encoder(facts)
        training = load_training_table(data, (*encoder.columns, self.target))
        if self.scaling == "local":
            encoder = encoder.with_local_scaling(training, data.site)
        sets = {name: self._examples(data, name, encoder, execution) for name in _SETS}
        self._check_classes(sets["train"].labels.cpu().numpy(), data.site)
        learning: Learning[TableBatch] = Learning(
            loss=loss,
            evaluate=evaluate,
            explain=lambda module, on, seed: explain(module, on, seed, encoder.groups),
        )
        module = seeded_build(lambda: self.build(facts), seed)
        return TorchJob(data.site, module, sets, learning, seed, execution)

    def _examples(
        self, data: SiteData, name: SetName, encoder: Encoder, execution: Execution
    ) -> "TensorExamples":
        import torch

        from medfed.frameworks.examples import TensorExamples

        device = torch.device(execution.device)
        if not data.count(name):
            empty = torch.zeros(0, len(encoder.inputs), device=device)
            return TensorExamples(empty, empty.new_zeros(0))
        frame = load_table(data, name, (*encoder.columns, self.target))
        features = torch.from_numpy(encoder.encode(frame, data.site)).to(device)
        labels = torch.from_numpy(self.labels(frame, data.site)).to(device)
        return TensorExamples(features, labels, at_least=2 if self.norm == "batch" else 1)

    def labels(self, frame: Any, site: str) -> NDArray[np.float32]:
        """1 for each positive patient, 0 for the others.

        Raises:
            DataError: Outcomes are missing, or are not two classes without a rule.
        """
        series = frame[self.target]
        if series.isna().any():
            remedy = f'Leave them out: [cohort] where = ["{self.target} is not missing"]'
            message = f'site {site}: patients lack the outcome "{self.target}"'
            raise DataError(message, remedy=remedy)
        if not self.positive and not set(category_keys(series)) <= {"0", "1"}:
            remedy = 'Two classes for now: say which outcomes are positive, as in positive = "> 0"'
            message = f'site {site}: the outcome "{self.target}" has values other than 0 and 1'
            raise DataError(message, remedy=remedy)
        rule = self._rule()
        if rule.how in ("=", "!="):
            equal = category_keys(series) == category_key(rule.value)
            return np.asarray(equal == (rule.how == "="), np.float32)
        values = number_columns(frame, (self.target,), site)[:, 0]
        return np.asarray(_ORDER[rule.how](values, cast(float, rule.value)), np.float32)

    def _check_classes(self, labels: NDArray[np.float32], site: str) -> None:
        if self.one_class == "refuse" and len(np.unique(labels)) < 2:
            message = f"every training patient of site {site} has the same label"
            remedy = (
                "Check positive in [task]; if it is so by nature, leave the site out or write "
                'one_class = "train"'
            )
            raise Refused("one-class", message, remedy=remedy)

    def summarise(self, total: Stats, *, intervals: bool = False) -> dict[str, Interval]:
        """AUC, accuracy, sensitivity, specificity, Brier score and loss; see `metrics`."""
        return classification_metrics(total, intervals=intervals)

    def count_scores(self, stats: Stats) -> NDArray[Any]:
        """Patients by label and coarse score; see `medfed.core.mechanism.CountedScores`."""
        return coarse_counts(stats)

    def scores_from(self, counts: NDArray[Any]) -> Stats:
        """Statistics of coarse counts with noise; see `medfed.tasks.metrics.from_coarse`."""
        return from_coarse(counts)

    def figures(self, totals: Stats) -> dict[str, NDArray[Any]]:
        """The metrics of many totals at once, for redrawing patients; see `metrics.figures`."""
        return figures(totals)

    def importance(self, total: Stats) -> dict[str, Interval]:
        """By how much the AUC falls when a column is shuffled; the most important first."""
        return importance(total)

    def describe(self, facts: Facts) -> dict[str, Any]:
        """Words for the model card."""
        encoder = self.encoder(facts)
        module = self.build(facts)
        layers = " → ".join(map(str, (len(encoder.inputs), *self.hidden, 1)))
        return {
            "model": f"neural network, {layers}"
            if self.hidden
            else f"logistic regression, {layers}",
            "inputs": list(encoder.inputs),
            **({"units": dict(self.units)} if self.units else {}),
            "outputs": f"probability that {self.target} {self.positive or '= 1'}",
            "parameters": sum(p.numel() for p in module.parameters()),
            "scaling": self.scaling,
            "missing values": "filled with the mean or the most common value, and indicated"
            if self.indicate_missing
            else "filled with the mean or the most common value",
            "training": {"activation": self.activation, "norm": self.norm, "dropout": self.dropout},
        }
