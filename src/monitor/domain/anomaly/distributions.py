"""
Tail probabilities of the counting models, in plain Python.

A pmf is evaluated once by ``math.lgamma``; the following terms are products of its ratios. A tail keeps its relative
precision far below 1e-16, where ``1 - cdf`` would be zero. That of a count is a continued fraction, so it costs less
than 0.1 ms however many attempts there are.

Sources: Johnson, Kemp, Kotz, *Univariate Discrete Distributions*, 3rd ed., chapters 5 (negative binomial) and 6
(beta-binomial).
"""

from __future__ import annotations

from collections.abc import Callable
from math import erfc, exp, lgamma, log, log1p, sqrt

NEGLIGIBLE_DISPERSION = 1e-9
"""Below this over-dispersion the plain binomial or Poisson law is used: ``lgamma`` of huge arguments loses digits."""

PRECISION = 1e-13
"""Summing stops when the remaining terms are less than this fraction of the sum."""


def beta_binomial_tail(k: int, n: int, mean: float, rho: float) -> float:
    """
    Return ``P(K >= k)`` for *n* attempts that fail with one random probability per window.

    Args:
        mean: expected proportion in (0, 1).
        rho: correlation of two attempts of one window, 0 <= rho < 1; the variance of K is ``n p q (1 + (n - 1) rho)``.

    Returns:
        A probability in [0, 1]; 1 for ``k <= 0`` and 0 for ``k > n``.
    """
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    is_upper = k > n * mean
    at = k if is_upper else k - 1
    if rho < NEGLIGIBLE_DISPERSION:
        odds = mean / (1 - mean)
        log_pmf = _log_choose(n, at) + at * log(mean) + (n - at) * log1p(-mean)

        def ratio(i: int) -> float:
            return (n - i) / (i + 1) * odds
    else:
        a, b = mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho
        log_pmf = _log_choose(n, at) + _log_beta(at + a, n - at + b) - _log_beta(a, b)

        def ratio(i: int) -> float:
            return (n - i) / (i + 1) * (a + i) / (b + n - i - 1)

    if is_upper:
        return _sum_up(at, n, exp(log_pmf), ratio)
    return 1.0 - _sum_down(at, exp(log_pmf), ratio)


def negative_binomial_tails(x: int, mean: float, dispersion: float) -> tuple[float, float]:
    """
    Return ``(P(X <= x), P(X >= x))`` for a count with the given mean and variance ``mean + dispersion * mean ** 2``.

    Args:
        x: not negative.
        mean: positive.
        dispersion: 0 gives the Poisson law.
    """
    if dispersion >= NEGLIGIBLE_DISPERSION:
        r = 1 / dispersion
        p, q = mean / (r + mean), r / (r + mean)
        return _incomplete_beta(r, x + 1, q, p), _incomplete_beta(x, r, p, q) if x else 1.0
    pmf = exp(x * log(mean) - mean - lgamma(x + 1))

    def ratio(i: int) -> float:
        return mean / (i + 1)

    if x > mean:
        upper = _sum_up(x, None, pmf, ratio)
        return 1.0 - upper + min(pmf, upper), upper
    lower = _sum_down(x, pmf, ratio)
    return lower, 1.0 - lower + min(pmf, lower)


def zero_count_probability(mean: float, dispersion: float) -> float:
    """Return ``P(X = 0)`` of the negative binomial law: ``(1 + d m) ** (-1 / d)``, or ``exp(-m)``."""
    if dispersion < NEGLIGIBLE_DISPERSION:
        return exp(-mean)
    return exp(-log1p(dispersion * mean) / dispersion)


def normal_tail(z: float) -> float:
    """Return ``P(Z >= z)`` of the standard normal law."""
    return 0.5 * erfc(z / sqrt(2))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """
    Return the regularized incomplete beta function of *x*, with ``y = 1 - x``.

    By its continued fraction (DLMF 8.17.22), whose terms grow in number with the square root of *a* and *b*; a sum of
    the pmf takes as many as there are attempts. Beyond the mean the fraction converges slowly, but there the complement
    loses no digits.
    """
    if x > (a + 1) / (a + b + 2):
        return max(1.0 - _incomplete_beta(b, a, y, x), 0.0)
    value = above = 1.0
    below = change = 0.0
    number = 0
    while abs(change - 1) > PRECISION:
        number += 1
        m = number // 2
        if number % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        # Lentz's method: the value is the product of the ratios of successive numerators and denominators.
        above, below = 1 + term / above, 1 / (1 + term * below)
        change = above * below
        value *= change
    return exp(a * log(x) + b * log(y) - _log_beta(a, b)) / (a * value)


def _sum_up(k: int, last: int | None, pmf: float, ratio: Callable[[int], float]) -> float:
    """Sum the pmf from *k* up to *last*, or until it adds nothing."""
    total = term = pmf
    while k != last:
        step = ratio(k)
        term *= step
        total += term
        k += 1
        # The ratio falls along an upper tail, so the rest is at most a geometric series; a U-shaped law has ratios
        # near 1 and is summed to its end.
        if step < 1 and term <= total * PRECISION * (1 - step):
            break
    return min(total, 1.0)


def _sum_down(k: int, pmf: float, ratio: Callable[[int], float]) -> float:
    """Sum the pmf from *k* down to 0, or until it adds nothing."""
    total = term = pmf
    while k > 0:
        k -= 1
        step = 1 / ratio(k)
        term *= step
        total += term
        if step < 1 and term <= total * PRECISION * (1 - step):
            break
    return min(total, 1.0)
