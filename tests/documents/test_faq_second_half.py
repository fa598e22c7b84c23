"""The other half of the FAQ's faults, on a system of their own: see `test_faq`."""

import pytest

from tests.documents.faq_ground import SECOND_HALF, Ground, Records, follow, look_at_all
from tests.documents.faults import FaqFault
from tests.documents.procedure import Procedure


@pytest.mark.slow
@pytest.mark.parametrize("fault", SECOND_HALF, ids=lambda fault: fault.name)
def test_the_document_leads_from_a_fault_to_its_cause(
    ground: Ground, document: Procedure, records: Records, fault: FaqFault
) -> None:
    """By its steps, by the trace, and by the quicker way; with two steps swapped it does not."""
    follow(ground, document, records, fault)


@pytest.mark.slow
def test_each_row_of_the_document_is_taken_by_a_fault_and_needed(document: Procedure, records: Records) -> None:
    look_at_all(document, records)
