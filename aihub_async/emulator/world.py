"""The world of an emulator: organizations, users, workspaces and their members.

Without a description there is an open world: one organization, whose workspaces exist as soon as they are named, and a
request without an `IB-Context` header means that organization. A described world is closed: a request without the
header means the caller's community account, as the service documents.

Example:
    >>> world = World(
    ...     organizations=[Organization(id="acme", admins=["ana"], members=["ben"], workspaces={"finance": ["ben"]})],
    ...     users=[User(id="ana", token="ana-key"), User(id="ben", token="ben-key")],
    ... )
    >>> async with Emulator(world=world) as hub: ...
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import attrs

COMMUNITY_WORKSPACE = "my-repo"
"""The one workspace of a community account."""

DEFAULT_DRIVE = "Instabase Drive"


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


def _organizations(organizations: "Iterable[Organization]") -> "tuple[Organization, ...]":
    return tuple(organizations)


def _users(users: "Iterable[User]") -> "tuple[User, ...]":
    return tuple(users)


def _members(workspaces: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(members) for name, members in workspaces.items()}


@attrs.frozen(kw_only=True)
class Organization:
    """An organization.

    Attributes:
        id: Its id, which `IB-Context` names.
        admins: User ids; admins are members, manage secrets, and may use every shared workspace.
        members: User ids.
        auditors: User ids that may read the audit logs, in addition to the admins.
        workspaces: Shared workspaces with the user ids of their members. Personal workspaces need no entry.
        drive: Display name of the default drive.
        units: Consumption units left; None is no limit.
        open: Whether every workspace that a request names exists and is accessible.
    """

    id: str
    admins: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    members: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    auditors: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    workspaces: Mapping[str, frozenset[str]] = attrs.field(factory=dict, converter=_members)
    drive: str = DEFAULT_DRIVE
    units: int | None = None
    open: bool = False

    def has(self, user: str) -> bool:
        """Return whether a user is a member."""
        return user in self.members or user in self.admins


def _email_of(user: Any) -> str:
    first, _, domain = user.id.rpartition("_")
    return f"{first}@{domain}" if first else f"{user.id}@example.com"


@attrs.frozen(kw_only=True)
class User:
    """A user or service account.

    Attributes:
        id: User id, such as `john.doe_acme.com`; also the name of the personal workspace.
        token: API token; None has none.
        email: E-mail address; derived from the id by default.
        service: A service account: it has neither a personal workspace nor a community account.
        units: Consumption units left to the community account; None is no limit.
        token_seconds: Age at which the token expires; None is never.
    """

    id: str
    token: str | None = attrs.field(default=None, repr=False)
    email: str = attrs.field(default=attrs.Factory(_email_of, takes_self=True))
    service: bool = False
    units: int | None = None
    token_seconds: float | None = None


@attrs.frozen(kw_only=True)
class World:
    """Organizations and users.

    `default_context` is what a request without `IB-Context` means: an organization's id, or None for the caller's
    community account.
    """

    organizations: tuple[Organization, ...] = attrs.field(default=(), converter=_organizations)
    users: tuple[User, ...] = attrs.field(default=(), converter=_users)
    default_context: str | None = None

    @classmethod
    def open(cls, org: str, user: str, token: str, drive: str) -> "World":
        """Return the world that needs no description."""
        organization = Organization(id=org, admins=[user], drive=drive, open=True)
        return cls(organizations=[organization], users=[User(id=user, token=token)], default_context=org)

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> "World":
        """Return the world that a mapping from a scenario file describes.

        Raises:
            TypeError: an unknown or missing key.
        """
        known = {"organization", "user", "default_context"}
        if unknown := set(content) - known:
            raise TypeError(f"unknown key {min(unknown)!r}; known keys: {', '.join(sorted(known))}")
        return cls(
            organizations=[Organization(**each) for each in _tables(content, "organization")],
            users=[User(**each) for each in _tables(content, "user")],
            default_context=content.get("default_context"),
        )


def _tables(content: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(each, Mapping) for each in tables):
        raise TypeError(f"write [[world.{name}]] with double brackets: there may be several")
    return tables


@attrs.frozen(kw_only=True)
class Context:
    """Where a request takes place: an organization, or the community account of a user."""

    id: str
    kind: Literal["organization", "community"]
    drive: str = DEFAULT_DRIVE

    def folder(self, workspace: str) -> str:
        """Return the folder of a workspace's drive, without a leading slash."""
        return f"{self.id}/{workspace}/fs/{self.drive}"


@attrs.frozen(kw_only=True)
class Account:
    """The caller of a request, in the context of the request.

    Attributes:
        user: User id.
        email: E-mail address.
        context: The context.
        workspaces: Workspaces that the caller may use; None is all.
        personal: The personal workspace; None where there is none.
        admin: Whether the caller is an admin of the context.
        auditor: Whether the caller may read the audit logs.
    """

    user: str
    email: str
    context: Context
    workspaces: frozenset[str] | None
    personal: str | None
    admin: bool
    auditor: bool

    def may_use(self, workspace: str) -> bool:
        """Return whether the caller may use a workspace."""
        return self.workspaces is None or workspace in self.workspaces
