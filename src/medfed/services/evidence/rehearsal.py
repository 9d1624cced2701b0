"""The study once more, by one site alone: how shadow models are trained."""

from medfed.core.packing import unpack
from medfed.core.registry import make
from medfed.core.strategy import Strategy, Turn
from medfed.core.study import Study
from medfed.core.task import LocalJob
from medfed.core.update import Tensors, Update
from medfed.services.evidence.lines import Lines


def alone(
    study: Study, initial: Tensors, job: LocalJob, rounds: int, lines: Lines | None = None
) -> Tensors:
    """The model that the study's strategy makes of one site's patients.

    Rounds, local training and learning rates are the study's; there are no other sites and no
    compression. Under ``lines`` the site's own noise is in it; a coordinator's is not.
    """
    job = lines.wrap(job) if lines else job
    strategy: Strategy = make("strategy", study.strategy)
    state = strategy.begin(initial)
    mine: Tensors = {}
    for number in range(1, rounds + 1):
        turn = Turn(number, study.rounds, 1)
        if lines:
            lines.till.round = number
        update, mine = strategy.train(strategy.sent(state), mine, job, turn)
        state = strategy.step(state, update, turn).evolve(round=number)
    sent = strategy.sent(state)
    mine = strategy.finish(sent, mine, job, Turn(study.rounds, study.rounds, 1))
    return strategy.local_model(sent, mine)


def first_update(
    study: Study, initial: Tensors, job: LocalJob, lines: Lines | None = None
) -> Update:
    """What a site sends in the first round, compressed as the study says and unpacked again.

    Without ``lines`` it is what would be sent if the study had no privacy lines.
    """
    strategy: Strategy = make("strategy", study.strategy)
    sent = strategy.sent(strategy.begin(initial))
    job = lines.wrap(job) if lines else job
    update, _ = strategy.train(sent, {}, job, Turn(1, study.rounds, len(study.sites)))
    update = lines.sealed(update) if lines else update
    if study.compression:
        update, _ = make("compression", study.compression).pack(update, {})
    return Update(unpack(update.tensors), update.weights, update.stats)
