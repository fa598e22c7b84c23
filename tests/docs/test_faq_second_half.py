"""The second half of the FAQ's faults, on their own system: see `test_faq`."""

import pytest

from tests.docs.faq_ground import SECOND_HALF, Ground, follow
from tests.docs.faults import FaqFault


@pytest.mark.slow
@pytest.mark.parametrize("fault", SECOND_HALF, ids=lambda fault: fault.name)
def test_the_document_leads_from_a_fault_to_its_cause(ground: Ground, fault: FaqFault) -> None:
    follow(ground, fault)
