"""Secure aggregation by hand: the server learns the sum of the clients' vectors and sees none of them.

`fixed_point` makes ring elements of real numbers, `sharing` splits secrets, `primitives` wraps the cryptography,
`client` and `server` are the two sides after Bonawitz et al. (2017), `protocol` lets them talk.
"""

from fedlearn_edu.privacy.secure_aggregation.client import SecureAggregationClient
from fedlearn_edu.privacy.secure_aggregation.fixed_point import FixedPoint, ring_sum
from fedlearn_edu.privacy.secure_aggregation.messages import STAGES
from fedlearn_edu.privacy.secure_aggregation.protocol import SecureSum, secure_sum
from fedlearn_edu.privacy.secure_aggregation.server import SecureAggregationServer
from fedlearn_edu.privacy.secure_aggregation.sharing import (
    additive_shares,
    lagrange_at_zero,
    shamir_secret,
    shamir_shares,
)

__all__ = [
    "STAGES",
    "FixedPoint",
    "SecureAggregationClient",
    "SecureAggregationServer",
    "SecureSum",
    "additive_shares",
    "lagrange_at_zero",
    "ring_sum",
    "secure_sum",
    "shamir_secret",
    "shamir_shares",
]
