"""What a request says in words: it is text, or the request is refused.

Rules:
* JSON can write half a surrogate pair, which no text has and UTF-8 cannot say: neither a file nor the records take it.
"""

from typing import Annotated

from pydantic import AfterValidator


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("this is no text, it holds half a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(_checked)]
"""Text that UTF-8 can say."""
