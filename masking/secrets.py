"""Secrets: tokens in the forms that their issuers give them, passwords within addresses, and what is said to be one."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.reading import ReadText

# Each form with what stands in it anyway, so that a text without that is not looked through.
_FORMS = tuple(
    (tuple(begins.split()), re.compile(form))
    for begins, form in (
        # docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        ("AKIA ASIA AGPA AIDA AROA ANPA ANVA ABIA ACCA", r"(?<!\w)A(?:KI|SI|GP|ID|RO|NP|NV|BI|CC)A[A-Z0-9]{16}(?!\w)"),
        # github.blog/engineering/behind-githubs-new-authentication-token-formats
        ("ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?<!\w)(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255})"),
        # docs.gitlab.com/security/tokens
        ("gl", r"(?<!\w)gl(?:pat|dt|rt|ptt|ft|soat|imt|oas|cbt|agent|ffct)-[\w.-]{16,255}"),
        # docs.slack.dev/authentication/tokens
        ("xox xapp-", r"(?<!\w)(?:xox[a-z](?:\.xox[a-z])?|xapp)-[\w-]{8,255}"),
        ("hooks.slack.com/", r"(?<=hooks\.slack\.com/services/)T\w{4,20}/B\w{4,20}/\w{10,40}"),
        # docs.cloud.google.com/docs/authentication/api-keys
        ("AIza ya29. GOCSPX-", r"(?<!\w)(?:AIza[\w-]{30,45}|ya29\.[\w.-]{20,500}|GOCSPX-[\w-]{20,40})"),
        # platform.openai.com/docs/api-reference/authentication, docs.anthropic.com, openrouter.ai/docs
        ("sk-", r"(?<!\w)sk-[\w-]{16,255}"),
        # docs.stripe.com/keys
        ("k_live_ k_test_ whsec_", r"(?<!\w)(?:[spr]k_(?:live|test)_[A-Za-z0-9]{10,255}|whsec_[A-Za-z0-9+/=]{16,99})"),
        # Others make theirs alike.
        ("_live_ _test_ _prod_ _secret_", r"(?<!\w)[A-Za-z]{2,16}_(?:live|test|prod|secret)_[A-Za-z0-9]{12,255}"),
        # datatracker.ietf.org/doc/html/rfc7519
        ("eyJ", r"(?<!\w)eyJ[\w-]{6,4000}+\.[\w-]{4,8000}+(?:\.[\w-]{0,4000}+)?"),
        # docs.npmjs.com/about-access-tokens, docs.pypi.org/api/secrets, huggingface.co/docs/hub/security-tokens
        ("npm_ pypi- hf_", r"(?<!\w)(?:npm_[A-Za-z0-9]{20,60}|pypi-[\w-]{20,300}|hf_[A-Za-z0-9]{20,60})"),
        # twilio.com/docs/sendgrid/ui/account-and-settings/api-keys
        ("SG.", r"(?<!\w)SG\.[\w-]{10,40}\.[\w-]{20,60}"),
        # support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account
        ("ATATT ATCTT ATBB", r"(?<!\w)AT(?:ATT|CTT|BB)[\w=-]{16,255}"),
        # docs.digitalocean.com/reference/api/create-personal-access-token, shopify.dev/docs/apps/build/authentication
        ("dop_v1_ shp glsa_ lin_api_", r"(?<!\w)(?:dop_v1_|shp(?:at|ca|pa|ss)_|glsa_|lin_api_)\w{16,100}"),
        # developer.hashicorp.com/vault/docs/concepts/tokens
        ("hvs. hvb.", r"(?<!\w)hv[sb]\.[\w-]{20,300}"),
        # core.telegram.org/bots/features#creating-a-new-bot
        (":AA", r"(?<!\w)\d{8,10}:AA[\w-]{30,40}"),
        # learn.microsoft.com/azure/storage/common/storage-account-keys-manage
        (
            "AccountKey= SharedAccessKey= sig=",
            r"(?<=(?:ccountKey=|AccessKey=))[A-Za-z0-9+/]{20,120}={0,2}|(?<=[?&]sig=)[\w%+/=]{20,120}",
        ),
        # datatracker.ietf.org/doc/html/rfc7617
        ("uthorization: Basic ", r"(?<=uthorization: Basic )[A-Za-z0-9+/]{8,2000}={0,2}"),
    )
)
# learn.microsoft.com/windows/security/operating-system-security/data-protection/bitlocker/recovery-overview
_RECOVERY = re.compile(r"(?<!-)(?:\d{6}-){7}\d{6}(?![\d-])|(?:\d{6} ){7}\d{6}(?![\d-])")
_GROUPS = 8
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile(r"-----END [A-Z ]{0,30}KEY(?: BLOCK)?-----")
# user:password@ of an address.
_IN_ADDRESS = re.compile(r"://[^\s:/@\"'<>]{0,100}:([^\s/\"'<>]{1,200})@(?=[\w\[])")


def secrets(read: ReadText) -> Iterator[Located]:
    """Find secrets by their form; of an address that has one, the secret alone."""
    text = read.text
    for begins, form in _FORMS:
        for begin in begins:
            if begin in text:
                yield from (_secret(*found.span()) for found in form.finditer(text))
                break
    if "-----BEGIN" in text:
        yield from _private_keys(text)
    if len(read.numbers) >= _GROUPS:
        found = (_RECOVERY.match(text, begin) for begin in read.numbers)
        yield from (_secret(*each.span()) for each in found if each)
    if "://" in text:
        yield from (_secret(*found.span(1)) for found in _IN_ADDRESS.finditer(text))


def _secret(begin: int, end: int) -> Located:
    return Located(begin, end, "SECRET")


def _private_keys(text: str) -> Iterator[Located]:
    at = 0
    while begin := _KEY_BEGIN.search(text, at):
        end = _KEY_END.search(text, begin.end())
        # One that is cut off is a secret to the end of the text.
        at = end.end() if end else len(text)
        yield _secret(begin.start(), at)
