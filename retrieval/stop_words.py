"""Stop words by language, which would be a third of the index."""

_WORDS = {
    "en": """a about after again all also am an and any are as at be because been before being both but by can could did
        do does doing for from get gets getting got had has have having he her here hers him his how i if in into is it
        its just like me more most my no nor not now of on once only or other our out over own same she should so some
        still such than that the their them then there these they this those to too under until up us very was we were
        what when where which while who why will with would you your please pls""",
    "de": """aber alle als also am an auch auf aus bei bin bis bitte da dann das dass dem den der des die dies diese
        diesem diesen dieser doch dort du durch ein eine einem einen einer eines er es etwas euch für gegen hab habe
        haben hat hatte hier ich ihm ihn ihnen ihr ihre im in ist ja jetzt kann keine kein können leider man mehr mein
        meine meinem meinen meiner mich mir mit muss nach nicht noch nun nur ob oder schon sein seine seit sich sie sind
        so um und uns unser unsere vom von vor war was weil wenn werden wer wie wieder wir wird wo zu zum zur über""",
    "fr": """a ai alors après au aussi autre avec avez avons c ce ces cet cette chez comme d dans de depuis des donc du
        elle elles en encore est et eu il ils j je l la le les leur lui m ma mais me mes moi mon n ne nos notre nous on
        ont ou où par pas plus pour qu quand que qui s sa sans se ses si son sont sur t tous tout toute très un une
        vos votre vous y à été être""",
    "es": """a al algo ante aunque como con cuando de del desde donde el ella ellos en entre era es esa ese eso esta
        estas este esto estos está están fue ha han hasta hay he la las le les lo los me mi mis mucho muy más ni no nos
        o otra otro para pero por porque que quien qué se ser si sin sobre son su sus sí también tan te tengo tiene
        todo todos tu un una uno unos y ya yo""",
    "it": """a ad al alla anche che chi ci come con da dal dalla dei del della delle di e ed era gli ha hanno ho i il in
        io la le lo ma mi mia mio ne nei nel nella non o per però più quando questa questo se si sono su sua sul suo un
        una uno""",
    "nl": """aan al als bij dan dat de deze die dit door een en er geen had heb hebben heeft het hij ik in is je kan
        maar me meer met mij mijn na naar niet nog nu of om ook op over te tot uit van voor was wat we wel wij wordt ze
        zijn zo""",
    "pt": """a ao aos as com como da das de do dos e ela ele em essa esse está eu foi há isso já mais mas me meu minha
        na nas no nos não o os ou para pela pelo por quando que se sem ser seu sua só também tem um uma você à é""",
}
STOP_WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
