"""The schema is the one of the contract, and the printed file is the schema."""

from pathlib import Path

from graphql import build_schema, print_schema

import rooms
from rooms.api.graphql.schema import schema

CONTRACT = """
scalar SafeInt
scalar DateTime
type ChatRoom {
  id: SafeInt!  slug: String!  name: String!  description: String
  isPublic: Boolean!  allowAnonymous: Boolean!  roomType: String!  createdBy: SafeInt!  createdAt: DateTime!
  participantCount: Int!
  connectionCount: Int!
  participants(first: Int = 50, after: String): [Participant!]!
  cursor: String!
}
type Participant { userId: SafeInt  username: String!  state: ParticipantState!  connectionCount: Int!
  joinedAt: DateTime!  cursor: String! }
enum ParticipantState { ONLINE OFFLINE MUTED BANNED }
type Sanction {
  id: SafeInt!  action: String!  targetUserId: SafeInt  targetUsername: String  scope: String!  slug: String
  reason: String  moderatorUserId: SafeInt!  createdAt: DateTime!  expiresAt: DateTime  liftedAt: DateTime
  active: Boolean!  cursor: String!
}
enum RuleKind { TERMS REGEX LINKS CAPS REPEATS LONG_WORDS ZALGO CLASSIFIER }
enum RuleAction { FLAG HOLD REFUSE MUTE }
enum RuleMode { OFF DRY_RUN ON }
enum RuleExemption { USER MODERATOR }
enum RuleOnFailure { ALLOW HOLD }
type Rule {
  id: SafeInt!  slug: String  version: SafeInt!  name: String!  kind: RuleKind!  patterns: [String!]!
  allow: [String!]!  threshold: Int!  action: RuleAction!  minutes: Int!  mode: RuleMode!  exemptFrom: RuleExemption!
  told: String  url: String  onFailure: RuleOnFailure
  changedBy: SafeInt!  changedAt: DateTime!  hits: SafeInt!  acted: SafeInt!  cursor: String!
}
input RuleInput {
  name: String!  kind: RuleKind!  action: RuleAction!  mode: RuleMode = ON  patterns: [String!] = []
  allow: [String!] = []  threshold: Int = 0  minutes: Int = 0  exemptFrom: RuleExemption = MODERATOR
  told: String = null  url: String = null  onFailure: RuleOnFailure = null  secret: String = null
}
type RuleHit {
  id: SafeInt!  ruleId: SafeInt!  slug: String!  at: DateTime!  userId: SafeInt  username: String!  text: String!
  pattern: String  action: RuleAction!  acted: Boolean!  cursor: String!
}
type RuleTest { hits: [RuleTestHit!]!  decisiveRuleId: SafeInt }
type RuleTestHit { ruleId: SafeInt!  ruleName: String!  pattern: String  action: RuleAction!  mode: RuleMode! }
type Invitation { slug: String!  userId: SafeInt!  invitedBy: SafeInt!  createdAt: DateTime! }
type Emote { name: String!  url: String!  alt: String!  slug: String }
enum RoomRole { MODERATOR VIP }
type RoomRoleHolder { userId: SafeInt!  role: RoomRole!  givenBy: SafeInt!  givenAt: DateTime!  cursor: String! }
type Video { id: SafeInt!  title: String!  createdAt: DateTime! }
type AuditEntry {
  actionId: SafeInt!  at: DateTime!  actorUserId: SafeInt!  actorRole: String  action: String!
  targetUserId: SafeInt  targetUsername: String  scope: String!  slug: String  reason: String  rule: String
  holdId: SafeInt
  durationMinutes: Int!  messageId: SafeInt  messageText: String  address: String
  policyChanges: [PolicyFieldChange!]!  undoes: SafeInt  undoneBy: SafeInt  completes: SafeInt  digest: String
  cursor: String!
}
enum ReportCategory { SPAM HARASSMENT HATE SEXUAL VIOLENCE OTHER }
enum ReportState { OPEN ACTIONED DISMISSED EXPIRED }
enum ReportResolution { ACTIONED DISMISSED }
type Report {
  id: SafeInt!  slug: String!  at: DateTime!  category: ReportCategory!  note: String
  reporterUserId: SafeInt!  reporterUsername: String  targetUserId: SafeInt  targetUsername: String
  messageId: SafeInt  messageText: String  messageAt: DateTime  beforeIds: [SafeInt!]!  afterIds: [SafeInt!]!
  state: ReportState!  closedAt: DateTime  closedBy: SafeInt  cursor: String!
}
enum UnbanRequestState { OPEN APPROVED DENIED LAPSED EXPIRED }
enum UnbanDecision { APPROVE DENY }
type UnbanRequest {
  id: SafeInt!  sanctionId: SafeInt!  slug: String  userId: SafeInt!  username: String  text: String  at: DateTime!
  state: UnbanRequestState!  closedAt: DateTime  closedBy: SafeInt  note: String  cursor: String!
}
type ErasedUser { actionId: SafeInt!  purged: [String!]! }
type RevokedTokens { actionId: SafeInt!  before: DateTime  until: DateTime! }
enum WarningState { ISSUED DELIVERED ACKNOWLEDGED LAPSED SUPERSEDED EXPIRED WITHDRAWN }
type PastWarning { id: SafeInt!  reason: String!  moderatorUserId: SafeInt!  at: DateTime!  state: WarningState! }
type Note {
  id: SafeInt!  slug: String!  targetUserId: SafeInt  targetUsername: String  text: String!  authorUserId: SafeInt!
  authorUsername: String!  at: DateTime!
}
type KeptMessage { id: SafeInt!  at: DateTime!  text: String! }
type UserCase {
  sanctions: [Sanction!]!  warnings: [PastWarning!]!  notes: [Note!]!  reports: [Report!]!  names: [String!]!
  firstSeen: DateTime  lastSeen: DateTime  messages: [KeptMessage!]
}
type HeldMessage {
  holdId: SafeInt!  slug: String!  userId: SafeInt  username: String!  message: String!  replyTo: SafeInt
  rule: String  heldAt: DateTime!  expiresAt: DateTime!  cursor: String!
}
type PolicyFieldChange { field: String!  before: String!  after: String! }
type AuditVerification {
  whole: Boolean!  checked: Int!  unchained: Int!  brokenActionId: SafeInt  problem: String
  lastActionId: SafeInt  lastDigest: String  cursor: String
}
type Undone { actionId: SafeInt!  undoes: SafeInt!  notUndone: [String!]! }
type UndoneAll { undone: [SafeInt!]!  notUndone: [SafeInt!]!  left: Int!  cursor: String }
type Query {
  chatRooms(first: Int = 50, after: String, search: String): [ChatRoom!]!
  chatRoom(id: SafeInt, slug: String): ChatRoom
  sanctions(slug: String, active: Boolean = true, first: Int = 50, after: String): [Sanction!]!
  auditLog(slug: String, actor: SafeInt, target: SafeInt, targetUsername: String, action: String, first: Int = 50,
    after: String): [AuditEntry!]!
  verifyAudit(slug: String, after: String): AuditVerification!
  emotes(slug: String): [Emote!]!
  blocked: [SafeInt!]!
  rules(slug: String, first: Int = 50, after: String): [Rule!]!
  ruleHits(ruleId: SafeInt!, first: Int = 50, after: String, slug: String): [RuleHit!]!
  heldMessages(slug: String!, first: Int = 50, after: String): [HeldMessage!]!
  testRule(text: String!, slug: String): RuleTest!
  roomRoles(slug: String!, first: Int = 50, after: String): [RoomRoleHolder!]!
  reports(slug: String, state: ReportState = OPEN, first: Int = 50, after: String): [Report!]!
  unbanRequests(slug: String, state: UnbanRequestState = OPEN, mine: Boolean = false, first: Int = 50,
    after: String): [UnbanRequest!]!
  userCase(slug: String!, userId: SafeInt, username: String): UserCase!
}
type Mutation {
  createChatRoom(name: String!, slug: String, description: String, isPublic: Boolean = true,
    allowAnonymous: Boolean = true): ChatRoom!
  updateChatRoom(id: SafeInt!, name: String, description: String, isPublic: Boolean, allowAnonymous: Boolean): ChatRoom!
  deleteChatRoom(id: SafeInt!): Boolean!
  inviteToChatRoom(slug: String!, userId: SafeInt!): Invitation!
  revokeInvitation(slug: String!, userId: SafeInt!): Boolean!
  setRoomRole(slug: String!, userId: SafeInt!, role: RoomRole): RoomRoleHolder
  registerVideo(id: SafeInt!, title: String!): Video!
  liftSanction(id: SafeInt!): Sanction!
  undoAction(id: SafeInt!, slug: String): Undone!
  undoAll(actorId: SafeInt!, since: DateTime!, after: String): UndoneAll!
  resolveReport(id: SafeInt!, resolution: ReportResolution!, reason: String): Report!
  requestUnban(sanctionId: SafeInt!, text: String!): UnbanRequest!
  decideUnbanRequest(id: SafeInt!, decision: UnbanDecision!, note: String): UnbanRequest!
  revokeTokens(userId: SafeInt!, before: DateTime, reason: String): RevokedTokens!
  eraseUser(userId: SafeInt!, reason: String): ErasedUser!
  revokeToken(jti: String!, reason: String): RevokedTokens!
  addNote(slug: String!, text: String!, userId: SafeInt, username: String): Note!
  deleteNote(id: SafeInt!): Boolean!
  saveEmote(name: String!, url: String!, alt: String, slug: String): Emote!
  deleteEmote(name: String!, slug: String): Boolean!
  block(userId: SafeInt!): Boolean!
  unblock(userId: SafeInt!): Boolean!
  saveRule(rule: RuleInput!, slug: String, everywhere: Boolean = false, id: SafeInt): Rule!
  deleteRule(id: SafeInt!, slug: String): Boolean!
}
"""


def _definitions(sdl: str) -> set[str]:
    """Definitions in any order, without descriptions."""
    lines = [line for line in sdl.splitlines() if not line.lstrip().startswith('"""')]
    return {" ".join(block.split()) for block in "\n".join(lines).split("\n\n")}


def test_the_schema_has_the_types_fields_arguments_and_defaults_of_the_contract() -> None:
    assert _definitions(schema.as_str()) == _definitions(print_schema(build_schema(CONTRACT)))


def test_the_printed_schema_is_up_to_date() -> None:
    printed = Path(rooms.__file__).with_name("schema.graphql").read_text(encoding="utf-8")
    assert printed == schema.as_str() + "\n"
