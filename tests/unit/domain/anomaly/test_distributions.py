"""Tail probabilities against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import comb, exp, isclose, prod

from hypothesis import example, given
from hypothesis import strategies as st

from monitor.domain.anomaly.distributions import (
    beta_binomial_tail,
    negative_binomial_tails,
    normal_tail,
    zero_count_probability,
)

counts = st.integers(1, 60)
means = st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=1000)
rhos = st.fractions(Fraction(1, 1000), Fraction(9, 10), max_denominator=1000)


def rising(x: Fraction, steps: int) -> Fraction:
    return prod((x + i for i in range(steps)), start=Fraction(1))


def exact_beta_binomial_tail(k: int, n: int, mean: Fraction, rho: Fraction) -> Fraction:
    a, b = mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho
    ways = sum(comb(n, i) * rising(a, i) * rising(b, n - i) for i in range(max(k, 0), n + 1))
    return Fraction(ways) / rising(a + b, n)


@given(counts, st.integers(-1, 61), means, rhos)
@example(10, 1, Fraction(1, 2), Fraction(1, 10))
@example(10, 9, Fraction(1, 2), Fraction(1, 10))
def test_the_beta_binomial_tail_is_exact(n: int, k: int, mean: Fraction, rho: Fraction) -> None:
    """``P(K >= k)`` equals the rational sum of the pmf, to nine digits however small it is."""
    exact = float(exact_beta_binomial_tail(k, n, mean, rho))
    assert isclose(beta_binomial_tail(k, n, float(mean), float(rho)), exact, rel_tol=1e-9, abs_tol=1e-300)


@given(counts, st.integers(0, 60), means)
@example(10, 0, Fraction(1, 2))
@example(10, 11, Fraction(1, 2))
@example(10, 9, Fraction(1, 2))
@example(10, 3, Fraction(9, 10))
def test_without_correlation_it_is_the_binomial_tail(n: int, k: int, mean: Fraction) -> None:
    """``rho = 0`` gives the plain binomial law."""
    exact = float(sum(comb(n, i) * mean**i * (1 - mean) ** (n - i) for i in range(k, n + 1)))
    assert isclose(beta_binomial_tail(k, n, float(mean), 0.0), exact, rel_tol=1e-9, abs_tol=1e-15 if k <= n else 0)


@given(st.integers(0, 80), st.fractions(Fraction(1, 10), 50, max_denominator=100), rhos)
def test_the_negative_binomial_tails_are_exact(x: int, mean: Fraction, dispersion: Fraction) -> None:
    """Both tails equal the rational sums of the pmf, where ``r = 1 / dispersion`` is made an integer."""
    r = max(round(1 / dispersion), 1)
    p = mean / (r + mean)
    pmf = [comb(i + r - 1, i) * (1 - p) ** r * p**i for i in range(x + 1)]
    fewer, more = negative_binomial_tails(x, float(mean), 1 / r)
    assert isclose(fewer, float(sum(pmf)), rel_tol=1e-8)
    assert isclose(more, float(1 - sum(pmf[:-1])), rel_tol=1e-8)


@given(st.integers(0, 80), st.floats(0.1, 50))
@example(60, 20.0)
@example(60, 62.0)
def test_without_dispersion_it_is_the_poisson_law(x: int, mean: float) -> None:
    """``dispersion = 0`` gives the limit of small dispersions."""
    for exact, limit in zip(negative_binomial_tails(x, mean, 0.0), negative_binomial_tails(x, mean, 1e-7), strict=True):
        assert isclose(exact, limit, rel_tol=1e-3)


@given(st.floats(0, 100), st.floats(0, 1))
def test_the_zero_count_has_the_probability_of_the_count_law(mean: float, dispersion: float) -> None:
    """P(X = 0) equals the tail of the negative binomial law, and of the Poisson law without dispersion."""
    assert isclose(zero_count_probability(mean, 0.0), exp(-mean))
    assert isclose(
        zero_count_probability(mean + 0.1, dispersion),
        negative_binomial_tails(0, mean + 0.1, dispersion)[0],
        rel_tol=1e-4,
    )


def test_tails_are_kept_where_one_minus_the_cdf_is_zero() -> None:
    assert 0 < beta_binomial_tail(60, 60, 0.01, 0.0005) < 1e-80
    assert 0 < normal_tail(20.0) < 1e-80
    assert normal_tail(0.0) == 0.5
