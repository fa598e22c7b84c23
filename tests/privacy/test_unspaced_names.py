"""Names in scripts without capitals and spaces."""

from privacy.redaction.people import Person
from privacy.redaction.redaction import Redaction

PEOPLE = (Person("张伟"), Person("王 小明"), Person("伟"))
TEXT = "请联系张伟处理邮箱. 张伟 said that 王小明 forgot it."


def test_they_are_found_within_other_words_and_come_back() -> None:
    redaction = Redaction(PEOPLE)
    masked = redaction.redact(TEXT)
    assert masked == "请联系[PERSON_1]处理邮箱. [PERSON_1] said that [PERSON_2] forgot it."
    assert redaction.restore(masked) == TEXT


def test_the_head_of_a_request_loses_its_credentials() -> None:
    masked = Redaction().redact("curl -H 'Authorization: Basic YWRtaW46cGFzc3dvcmQ=' https://x")
    assert "YWRtaW46" not in masked
    assert "curl -H" in masked
