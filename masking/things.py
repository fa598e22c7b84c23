"""What has numbers and codes too, and is nobody: orders, devices, versions."""

import re

_THINGS = (
    r"contract|case|serial|seriennummer|s/n|sn|inventar\w*|rechnung\w*|aktenzeichen|antrag|ticket\w*|order|bestell\w*"
    r"|mandat|paket|licen[cs]e|lizenz\w*|version|build|edge|po|auftrag\w*|beleg\w*|asset|tracking|invoice|art"
    r"|artikel\w*"
    r"|chrome|firmware|error|fehler\w*|code|job|commit|ref|reference|vorgang\w*|buchung\w*|charge|change|chg|rma|imei"
    r"|iccid|part|model\w*|dc|sendung\w*|lieferschein\w*|zähler\w*|msgid|accession|batch|terminal|kassenzeichen|event"
    r"|message|request|incident|session|process|device|correlation|thread|response|trace|product|tenant|object"
    r"|transaction|probe|bleep|kostenstelle|cost center|cost centre|room|raum|barcode|ean|isbn|kb|inc|req|st|tag"
)
OF_THINGS = re.compile(rf"(?<![^\W_])(?:{_THINGS})[\s.:#-]{{0,3}}(?:(?:no|nr|number|nummer|tag|id)[\s.:#]{{0,3}})?$")
"""In small letters, right before a number."""
