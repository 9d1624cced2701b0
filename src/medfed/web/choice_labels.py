"""What people call the parts of a study and the values of an option, beside their identifiers."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l

PARTS: Mapping[str, object] = {
    "nodule-detection": _l("Detect lung nodules"),
    "nodule-segmentation": _l("Outline lung nodules"),
    "patch-segmentation": _l("Outline in small patches"),
    "tabular-classification": _l("Predict an outcome from a table"),
    "annotated-volumes": _l("CT scans with a table of nodules"),
    "breast-cancer": _l("Breast cancer (open data)"),
    "csv": _l("A table (CSV)"),
    "heart-disease": _l("Heart disease (open data)"),
    "msd-lung-patches": _l("Lung tumour patches (open data)"),
    "volumes": _l("CT scans with masks"),
    "hash": _l("By a hash of the patient"),
    "shuffle": _l("By chance"),
    "ditto": _l("Ditto: a personal model beside the common one"),
    "fedadagrad": _l("FedAdagrad: adaptive steps"),
    "fedadam": _l("FedAdam: adaptive steps with momentum"),
    "fedavg": _l("FedAvg: the mean of what hospitals learnt"),
    "fedavgm": _l("FedAvgM: the mean, with momentum"),
    "fedbuff": _l("FedBuff: nobody waits"),
    "fednova": _l("FedNova: hospitals that work unequally"),
    "fedprox": _l("FedProx: hospitals that differ"),
    "fedsgd": _l("FedSGD: one gradient a round"),
    "fedyogi": _l("FedYogi: careful adaptive steps"),
    "finetune": _l("Fine-tuning at each hospital"),
    "local-head": _l("A head of each hospital’s own"),
    "local-norm": _l("Normalisation of each hospital’s own"),
    "scaffold": _l("SCAFFOLD: corrects how hospitals differ"),
    "centred-clipping": _l("Centred clipping: pulls outliers in"),
    "ckks": _l("Encrypted sum (CKKS)"),
    "geometric-median": _l("Geometric median"),
    "mean": _l("Weighted mean"),
    "median": _l("Median"),
    "multi-krum": _l("Multi-Krum: leaves odd hospitals out"),
    "nnm-trimmed-mean": _l("Trimmed mean after mixing neighbours"),
    "paillier": _l("Encrypted sum (Paillier)"),
    "secure-sum": _l("Secure sum: nobody sees a single update"),
    "trimmed-mean": _l("Trimmed mean"),
    "fp16": _l("Half precision"),
    "int8": _l("8 bits"),
    "top-k": _l("The largest elements only"),
    "dp-sgd": _l("Protects each patient (DP-SGD)"),
    "hospital-dp": _l("Protects each hospital"),
    "local-dp": _l("Noise on each record (local DP)"),
    "dp-contingency": _l("Table of two columns"),
    "dp-count": _l("Count"),
    "dp-histogram": _l("Histogram"),
    "dp-mean": _l("Mean"),
    "dp-moments": _l("Means and spreads"),
    "dp-quantile": _l("Quantiles"),
    "dp-sum": _l("Sum"),
    "dp-values": _l("Most common values"),
    "dp-variance": _l("Variance"),
}
CHOICES: Mapping[str, object] = {
    "device.auto": _l("A GPU where there is one"),
    "device.cpu": _l("Processor"),
    "device.cuda": _l("GPU"),
    "precision.auto": _l("The quickest"),
    "precision.fp32": _l("32 bits"),
    "precision.bf16": _l("16 bits (bfloat16)"),
    "scaling.federated": _l("By the mean of all hospitals"),
    "scaling.local": _l("By the hospital’s own mean"),
    "scaling.none": _l("Not at all"),
    "norm.none": _l("None"),
    "norm.batch": _l("By batch"),
    "norm.layer": _l("By layer"),
    "start.zero": _l("At zero"),
    "start.random": _l("By chance"),
    "one_class.refuse": _l("It refuses"),
    "one_class.train": _l("It trains all the same"),
    "variant.full": _l("All features, gaps kept"),
    "variant.flamby": _l("As FLamby has it"),
    "zeros.auto": _l("As the version wants it"),
    "zeros.missing": _l("Missing"),
    "zeros.keep": _l("A number"),
    "lr_schedule.constant": _l("Always the same"),
    "lr_schedule.cosine": _l("Falls smoothly to zero"),
    "lr_schedule.step": _l("Drops now and then"),
    "optimizer.sgd": _l("SGD"),
    "optimizer.adam": _l("Adam"),
    "budget.constant": _l("Alike in every round"),
    "budget.rising": _l("More of it later, with less noise"),
    "budget.adaptive": _l("By what noised answers show"),
    "scores.none": _l("Nothing leaves"),
    "scores.noised": _l("Final figures, with noise"),
    "scores.public": _l("All figures: these patients are public"),
    "noise.laplace": _l("Laplace"),
    "noise.gaussian": _l("Gaussian"),
    "report.sites": _l("All hospitals’ and each one’s"),
    "report.overall": _l("All hospitals’ together only"),
    "keep.last": _l("The last one"),
    "keep.best": _l("The best on validation patients"),
}
"""By ``option.value``."""


def part(name: str) -> str:
    """What people call a part; one that another package brought as it calls it itself."""
    return str(PARTS.get(name, name))


def choice(option: str, value: object) -> str:
    """What people call a value of an option."""
    name = option.rpartition(".")[2]
    return str(CHOICES.get(f"{name}.{value}", value))
