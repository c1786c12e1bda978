"""Bayesian sparse linear mixed model: few variants with large effects beside many with small ones.

The model of GEMMA (Zhou, Carbonetto and Stephens 2013), for one gene with n people and p variants X:

    y = mean + X beta + u + e,   beta_j ~ pi N(0, sa / tau) + (1 - pi) 0,   u ~ N(0, sb K / tau),   e ~ N(0, 1 / tau)

with K = X X' / p, and GEMMA's priors: h and rho uniform on (0, 1), log pi uniform on (log 1/p, 0), the mean flat and
tau as 1 / tau. h is the share of variance that X beta + u is expected to explain, rho that of X beta in it: with s
the mean variance of the variants (1 if they are standardised; also the mean of K's diagonal),

    sa = h rho / ((1 - h) p pi s),   sb = h (1 - rho) / ((1 - h) s).

What is sampled: u = X alpha with alpha_j ~ N(0, sb / (p tau)) has exactly the covariance sb K / tau, and y depends
on alpha and beta by their sum b alone. So the model is that of one effect a variant from a mixture of two normals,

    b_j ~ pi N(0, (sa + sb / p) / tau) + (1 - pi) N(0, (sb / p) / tau),

and the posterior mean of b is GEMMA's weight alpha + beta gamma.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from analysis.bslmm_chain import Data

FloatArray = npt.NDArray[np.float64]

BURN_IN = 1000  # sweeps of each chain that are thrown away
ROUND = 4000  # sweeps of each chain between two looks at convergence
MAX_ROUNDS = 20
PARTNERS = 10  # of each variant, with which it is drawn as a pair
THIN = 10  # every so many sweeps the predictions are looked at
RHAT = 1.05  # largest
AGREEMENT = 0.99  # smallest
STARTS = ((0.05, 0.5, 0.1), (0.7, 0.5, 0.9))  # of the chains: h, rho, 1 + log pi / log p


@dataclass(frozen=True)
class Posterior:
    """What the two chains say about one gene."""

    weights: FloatArray  # (variant,) posterior mean of alpha + beta gamma
    of_chain: FloatArray  # (chain, variant) the same from each chain alone
    trace: FloatArray  # (chain, sweep, 4) h, rho, log pi, and PVE, the share of variance that X b explains
    rhat: float  # the largest of h, PVE and the prediction of each individual
    agreement: float  # correlation of the two chains' predictions of the individuals

    @property
    def converged(self) -> bool:
        """Whether the chains agree."""
        return self.rhat < RHAT and self.agreement > AGREEMENT


def bslmm(genotype: FloatArray, expression: FloatArray, seed: int) -> FloatArray:
    """Weights of the Bayesian sparse linear mixed model, the mean over two chains drawn with ``seed``.

    ``genotype`` (individual, variant) and ``expression`` (individual,) are standardised. Chains that do not
    agree (``Posterior.converged``) give a ConvergenceWarning. Source: ``bslmm`` of FUSION (Gusev et al. 2016),
    GEMMA ``-bslmm 1``.
    """
    from sklearn.exceptions import ConvergenceWarning

    posterior = sample(genotype, expression, seed=seed)
    if not posterior.converged:
        warnings.warn(
            f"the chains of BSLMM differ: R-hat {posterior.rhat:.3f}, correlation of their predictions "
            f"{posterior.agreement:.3f}",
            ConvergenceWarning,
            stacklevel=2,
        )
    return posterior.weights


def sample(
    genotype: FloatArray,
    expression: FloatArray,
    *,
    seed: int,
    max_rounds: int | None = None,
    until: Callable[[Posterior], bool] = lambda posterior: posterior.converged,
) -> Posterior:
    """Two chains from distant starts, until they agree or ``max_rounds`` (``MAX_ROUNDS``) are over.

    Each chain burns in for ``BURN_IN`` sweeps over all variants, and then draws ``ROUND`` sweeps a round: one is
    enough for nearly every gene, and takes 0.3 s of one core for 327 people and 120 variants, tens of seconds for
    2,700. Effects enter by their mean given all others (Rao-Blackwell). R-hat is that of split chains
    (Gelman et al. 2013).
    """
    from analysis.bslmm_chain import Chain, advance

    data, turn = turned(genotype, expression)
    n_rows, n_variants = turn.shape[1], genotype.shape[1]
    precision = data.freedom / float(data.target @ data.target + data.rest)
    rngs = np.random.default_rng(seed).spawn(len(STARTS))
    chains = []
    for start, rng in zip(STARTS, rngs, strict=True):
        place = np.array([*start, precision])
        nothing = np.zeros(n_variants), np.zeros(n_variants, dtype=np.bool_)
        chains.append(Chain(*nothing, data.target.copy(), place))
        advance(data, chains[-1], BURN_IN, THIN, rng)

    of_chain = np.zeros((len(chains), n_variants))
    trace = np.empty((len(chains), 0, 4))
    fitted = np.empty((len(chains), 0, n_rows))
    for number in range(max_rounds or MAX_ROUNDS):
        rounds = [advance(data, chain, ROUND, THIN, rng) for chain, rng in zip(chains, rngs, strict=True)]
        means, *draws = (np.stack(parts) for parts in zip(*rounds, strict=True))
        of_chain += (means - of_chain) / (number + 1)
        trace, fitted = (np.concatenate(p, axis=1) for p in zip((trace, fitted), draws, strict=True))
        predicted = of_chain @ (genotype - genotype.mean(axis=0)).T
        posterior = Posterior(
            weights=of_chain.mean(axis=0),
            of_chain=of_chain,
            trace=trace,
            rhat=float(max(rhat(trace[:, :, [0, 3]]).max(), rhat(fitted @ turn.T).max())),
            agreement=float(np.corrcoef(predicted)[0, 1]),
        )
        if until(posterior):
            break
    return posterior


def rhat(draws: FloatArray) -> FloatArray:
    """Potential scale reduction (quantity,) of draws (chain, draw, quantity), each chain split into halves."""
    half = draws.shape[1] // 2
    parts = np.concatenate([draws[:, :half], draws[:, half : 2 * half]])
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = parts.mean(axis=1).var(axis=0, ddof=1)
    ratio: FloatArray = np.sqrt((half - 1) / half + between / within)
    return ratio


def turned(genotype: FloatArray, expression: FloatArray) -> tuple[Data, FloatArray]:
    """Centred genotypes and expression in as many rows as needed, and the basis (individual, row) they are seen in."""
    from analysis.bslmm_chain import Data

    n, p = genotype.shape
    centred, target = genotype - genotype.mean(axis=0), expression - expression.mean()
    if p < n:
        turn, rows = np.linalg.qr(centred)
        seen = turn.T @ target
    else:
        turn, rows, seen = np.eye(n), centred, target
    scale, partners = float((centred**2).mean()), _most_correlated(rows)
    rest = max(0.0, float(target @ target - seen @ seen))
    return Data(np.ascontiguousarray(rows.T), seen, rest, n - 1.0, scale, partners), turn


def _most_correlated(rows: FloatArray) -> npt.NDArray[np.int64]:
    """For each variant (variant, partner) the ``PARTNERS`` others that it is most correlated with."""
    p = rows.shape[1]
    n_partners = min(PARTNERS, p - 1)
    units = rows / np.linalg.norm(rows, axis=0)
    correlation = np.abs(units.T @ units)
    np.fill_diagonal(correlation, -1)
    order = np.argpartition(-correlation, max(n_partners - 1, 0), axis=1)
    return np.ascontiguousarray(order[:, :n_partners])
