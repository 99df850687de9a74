"""What a rule is made of: one frozen class for each kind of node (rules.md 1.4).

A tree exists only whole and checked: `reading.read` makes it from JSON or refuses. Equal trees mean the same by the
same words; `path`, the place in the JSON, is not compared.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, Literal, TypeAlias, TypeVar

from segments.rules.values import AT_LEAST_ONCE, Aggregate, CountTest, Name, ValueTest
from segments.rules.windows import EVER, Duration, Window

VERSION = 1

Path: TypeAlias = tuple[str | int, ...]
Of = Literal["profile", "account"]
Seen = Literal["last", "first", "this_visit"]
Which = Literal["any", "first", "last"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ANY_EVENT = ("*",)  # every event that was recorded: neither visits nor changes of attributes, which are derived
VISIT = "$visit"
ATTRIBUTE_CHANGED = "$attribute_changed"
DAY = "$day"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _Node:
    path: Path = field(default=(), compare=False)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class _Condition(_Node):
    """`zone` is the clock of this condition: "advertiser", "visitor", an IANA name, or None for the rule's own."""

    label: str = ""
    zone: str | None = None


# Groups, of conditions and of filters.


@dataclass(frozen=True)
class AllOf(_Node, Generic[T]):
    children: tuple[T, ...]


@dataclass(frozen=True)
class AnyOf(_Node, Generic[T]):
    children: tuple[T, ...]


@dataclass(frozen=True)
class Not(_Node, Generic[T]):
    child: T


# What is asked of one event, or of one record of a list.


@dataclass(frozen=True)
class PropertyFilter(_Node):
    property: Name
    test: ValueTest


@dataclass(frozen=True)
class ContextFilter(_Node):
    """`field` is one of `fields.FIELDS` in steps, such as ("page", "path")."""

    field: Name
    test: ValueTest


Filter: TypeAlias = "AllOf[Filter] | AnyOf[Filter] | Not[Filter] | PropertyFilter | ContextFilter"


@dataclass(frozen=True)
class Events:
    """Events of any of these names that pass all filters; `ANY_EVENT` is those of every name."""

    names: tuple[str, ...]
    where: tuple[Filter, ...] = ()


# Conditions about events.


@dataclass(frozen=True)
class EventCondition(_Condition):
    """The aggregate is true of the events whose spans cover t.

    With `which` first or last, the span of that one event decides, and the aggregate is the default.
    """

    events: Events
    which: Which = "any"
    window: Window = EVER
    aggregate: Aggregate = AT_LEAST_ONCE


@dataclass(frozen=True)
class Step:
    """`within` counts from the step before; of `without` none may lie between.

    Of the last step alone `is_absent`; of the first alone `is_newest` (`which: "last"`): the chain begins with the
    newest such event.
    """

    events: Events
    within: Duration | None = None
    without: Events | None = None
    is_absent: bool = False
    is_newest: bool = False
    path: Path = field(default=(), compare=False)


@dataclass(frozen=True)
class SequenceCondition(_Condition):
    """Some chain of events passes the steps in order; `window` is on the event, or instant, that completes it."""

    steps: tuple[Step, ...]
    same: tuple[Name, ...] = ()
    is_same_visit: bool = False
    within: Duration | None = None
    window: Window = EVER


@dataclass(frozen=True)
class ChangeCondition(_Condition):
    """`(to - before) / abs(before) * 100` passes. `sum` is None where events are counted."""

    events: Events
    sum: Name | None
    before: Window
    to: Window
    test: ValueTest


@dataclass(frozen=True)
class FavouriteCondition(_Condition):
    """A value with the highest count of events, or sum of a number of theirs, passes. `sum` is None for a count."""

    property: Name
    events: Events
    test: ValueTest
    sum: Name | None = None
    window: Window = EVER


# Conditions about what is known of a profile or an account.


@dataclass(frozen=True)
class AttributeCondition(_Condition):
    attribute: Name
    test: ValueTest
    for_at_least: Duration | None = None


@dataclass(frozen=True)
class ItemsCondition(_Condition):
    """The aggregate is true of the records, of an attribute that is a list of them, that pass all filters."""

    items: Name
    where: tuple[Filter, ...] = ()
    aggregate: Aggregate = AT_LEAST_ONCE


@dataclass(frozen=True)
class IdentityCondition(_Condition):
    """A text test holds where one of the identifiers passes it."""

    kind: str
    test: ValueTest | CountTest


@dataclass(frozen=True)
class PersonCondition(_Condition):
    state: Literal["known", "anonymous"]


@dataclass(frozen=True)
class ConsentCondition(_Condition):
    """The test is `equals` with "granted" or "denied", or `known`."""

    purpose: str
    test: ValueTest


@dataclass(frozen=True)
class SituationCondition(_Condition):
    """`field` is one of `fields.FIELDS` in steps; the window is on when the value was seen."""

    field: Name
    test: ValueTest
    seen: Seen = "last"
    window: Window = EVER


@dataclass(frozen=True)
class NearCondition(_Condition):
    lat: Decimal
    lon: Decimal
    km: Decimal
    seen: Seen = "last"
    window: Window = EVER


# Conditions about time, chance, segments, companies and people.


@dataclass(frozen=True)
class TimeCondition(_Condition):
    """Minutes of the local day, 0 to 1440; where `start > end` it runs over midnight and belongs to its first day."""

    start: int = 0
    end: int = 1440
    days: tuple[Weekday, ...] = WEEKDAYS


@dataclass(frozen=True)
class IsMember:
    """With `is_in` false the three others are None."""

    is_in: bool
    for_at_least: Duration | None = None
    last_added: Window | None = None
    value: ValueTest | None = None


@dataclass(frozen=True)
class Joined:
    window: Window


@dataclass(frozen=True)
class Left:
    window: Window


@dataclass(frozen=True)
class WasIn:
    window: Window


@dataclass(frozen=True)
class SegmentCondition(_Condition):
    """About any of these segments, by key."""

    segments: tuple[str, ...]
    asks: IsMember | Joined | Left | WasIn


@dataclass(frozen=True)
class BucketCondition(_Condition):
    """The share number lies in `[lower, upper)`, in hundredths of a percent. `salt` None is the segment's key."""

    lower: int
    upper: int
    salt: str | None = None


@dataclass(frozen=True)
class AccountCondition(_Condition):
    """Some account of the profile satisfies a node of an account rule."""

    account: "Node"


@dataclass(frozen=True)
class PeopleCondition(_Condition):
    """So many people of the account satisfy a node of a profile rule; `who` None asks for any people at all."""

    people: Literal["any", "all", "none"] | CountTest
    who: "Node | None" = None


Condition: TypeAlias = (
    EventCondition
    | SequenceCondition
    | ChangeCondition
    | FavouriteCondition
    | AttributeCondition
    | ItemsCondition
    | IdentityCondition
    | PersonCondition
    | ConsentCondition
    | SituationCondition
    | NearCondition
    | TimeCondition
    | SegmentCondition
    | BucketCondition
    | AccountCondition
    | PeopleCondition
)
Node: TypeAlias = "AllOf[Node] | AnyOf[Node] | Not[Node] | Condition"


@dataclass(frozen=True)
class Rule:
    """The envelope: of whom the rule is, whose clock it follows, and its one node."""

    of: Of
    root: Node
    zone: str = "advertiser"
