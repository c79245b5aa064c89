"""Who sent a message: read from its subject, believed only in the wire's alphabet."""

import pytest

from carcloud.stream import subjects
from carcloud.stream.subjects import Origin, origin


@pytest.mark.parametrize("kind", ["batch", "event"])
def test_a_cars_topic_names_its_origin(kind):
    assert origin(subjects.raw("default", "a-Z_09", kind)) == Origin("default", "a-Z_09", kind)


def test_a_token_may_have_64_characters_and_no_more():
    assert origin(subjects.raw("t" * 64, "v" * 64, "batch"))
    assert origin(subjects.raw("default", "v" * 65, "batch")) is None
    assert origin(subjects.raw("t" * 65, "v", "batch")) is None


@pytest.mark.parametrize("token", ["", "*", ">", "a.b", "a b", "ä", "a/b", "a\n", "$SYS", "a\0"])
def test_a_token_outside_the_alphabet_has_no_origin(token):
    assert origin(subjects.raw("default", token, "batch")) is None
    assert origin(subjects.raw(token, "vehicle", "batch")) is None


@pytest.mark.parametrize(
    "subject",
    [
        *("", "$MQTT.msgs.", "$MQTT.msgs.cc.1.default.v.up", "$MQTT.msgs.cc.1.default.v.up.batch.x"),
        *("$MQTT.msgs.cc.2.default.v.up.batch", "$MQTT.msgs.dd.1.default.v.up.batch"),
        *("$MQTT.msgs.cc.1.default.v.dn.batch", "$MQTT.msgs.cc.1.default.v.up.state", "$MQTT.msgs.cc.1.default.v.up.*"),
    ],
)
def test_another_subject_has_no_origin(subject):
    assert origin(subject) is None


def test_an_ack_goes_below_the_cars_own_topics():
    assert subjects.ack("default", "v") == "cc.1.default.v.dn.ack"
