"""Who may do what: tokens, contexts, workspaces and paths."""

import attrs

from aihub_async.emulator.clock import NANOSECONDS, EmulatorClock
from aihub_async.emulator.wire import ApiError
from aihub_async.emulator.world import COMMUNITY_WORKSPACE, Account, Context, Organization, User, World


@attrs.frozen
class _Token:
    user: User
    issued_ns: int


class Access:
    """Resolves tokens and `IB-Context` headers to accounts."""

    def __init__(self, world: World, clock: EmulatorClock) -> None:
        self._organizations = {organization.id: organization for organization in world.organizations}
        self._default_context = world.default_context
        self._clock = clock
        self._tokens: dict[str, _Token] = {}
        self.users: dict[str, User] = {}
        self._described = not any(organization.open for organization in world.organizations)
        self._seen: set[str] = set()
        for user in world.users:
            self.add_user(user)

    @property
    def organizations(self) -> tuple[Organization, ...]:
        """All organizations."""
        return tuple(self._organizations.values())

    def add_user(self, user: User) -> None:
        """Accept the token of another user, or another token of a user."""
        self.users[user.id] = user
        if user.token is not None:
            self._tokens[user.token] = _Token(user, self._clock.now_ns())

    def join(self, org: str, user: str, *, admin: bool) -> None:
        """Make a user a member of an organization.

        Raises:
            KeyError: no such organization.
        """
        organization = self._organizations[org]
        admins = organization.admins | {user} if admin else organization.admins - {user}
        self._organizations[org] = attrs.evolve(organization, members=organization.members | {user}, admins=admins)

    def authenticate(self, authorization: str | None, context: str | None) -> Account:
        """Return the account of a request.

        Raises:
            ApiError: 401, bad or expired token, or bad `IB-Context`.
        """
        scheme, _, text = (authorization or "").partition(" ")
        token = self._tokens.get(text)
        if token is None or scheme.lower() != "bearer":
            raise ApiError(401, "The API token is missing or wrong.")
        age = (self._clock.now_ns() - token.issued_ns) / NANOSECONDS
        if token.user.token_seconds is not None and age >= token.user.token_seconds:
            raise ApiError(401, "The API token has expired.")
        return self.account(token.user, context or self._default_context or token.user.id)

    def is_login(self, account: Account) -> bool:
        """Return whether this is the first request of a user since the start; the open world keeps no logins."""
        first = self._described and account.user not in self._seen
        self._seen.add(account.user)
        return first

    def units(self, context: Context) -> int | None:
        """Return the consumption units that a context starts with, or None for no limit."""
        if context.kind == "organization":
            return self._organizations[context.id].units
        return self.users[context.id].units

    def account(self, user: User, context: str) -> Account:
        """Return a user in a context.

        Raises:
            ApiError: 401, the user has no access to it.
        """
        organization = self._organizations.get(context)
        if organization is not None and organization.has(user.id):
            return _member(user, organization)
        if context == user.id and not user.service:
            return Account(
                user=user.id,
                email=user.email,
                context=Context(id=user.id, kind="community"),
                workspaces=frozenset({COMMUNITY_WORKSPACE}),
                personal=COMMUNITY_WORKSPACE,
                admin=True,
                auditor=False,
            )
        raise ApiError(401, "The IB-Context header names a context that the token has no access to.")


def _member(user: User, organization: Organization) -> Account:
    admin = user.id in organization.admins
    personal = None if user.service else user.id
    shared = {name for name, members in organization.workspaces.items() if admin or user.id in members}
    return Account(
        user=user.id,
        email=user.email,
        context=Context(id=organization.id, kind="organization", drive=organization.drive),
        workspaces=None if organization.open else frozenset({*shared, *([personal] if personal else [])}),
        personal=personal,
        admin=admin,
        auditor=admin or user.id in organization.auditors,
    )


def chosen_workspace(given: str | None, account: Account, *, remedy: str) -> str:
    """Return the workspace of a request: the one it names, or the caller's personal one.

    Raises:
        ApiError: 400, a service account named none; 404, no such workspace or no access to it.
    """
    workspace = given or account.personal
    if workspace is None:
        raise ApiError(400, f"A service account has no personal workspace: pass {remedy}.")
    if not account.may_use(workspace):
        raise ApiError(404, f"There is no workspace {workspace!r} in this context, or you are denied access.")
    return workspace


def check_file_path(path: str, account: Account) -> str:
    """Return the path of a file operation; in the open world every path is accessible.

    Raises:
        ApiError: 404, no access to it.
    """
    return path if account.workspaces is None else check_path(path, account)


def check_path(path: str, account: Account) -> str:
    """Return a drive path (`<context>/<workspace>/fs/...`) that is in the caller's context.

    Raises:
        ApiError: 404, it is in another context or in a workspace without access.
    """
    context, _, rest = path.partition("/")
    workspace = rest.partition("/")[0]
    if context != account.context.id or (workspace and not account.may_use(workspace)):
        raise ApiError(404, f"There is no /{path} in the context {account.context.id!r}, or you are denied access.")
    return path
