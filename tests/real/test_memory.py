"""What a node keeps on its disk: put back from a copy, lost, or not taken by a full disk."""

from __future__ import annotations

from srmd.lab.real import files
from srmd.lab.scenario.verbs import FileAction, Files
from tests.real.conftest import USERS, Story, records


def database(story: Story, action: FileAction) -> None:
    folder = story.x.folder
    files.do(action, Files.DATABASE, folder / "state", folder / "copies")


def agree(story: Story, count: int) -> None:
    """Both databases hold so many users, and both nodes say that they are the same."""

    def seen() -> bool:
        held = [node.status()["database"] for node in (story.x, story.y)]
        alike = all(one["agrees_with_peer"] is True for one in held)
        return alike and [one["users_count"] for one in held] == [count, count]

    story.pair.wait_until(f"both hold {count} users and say so", seen, within_s=60)


def test_a_database_set_back_under_a_running_node_is_seen_and_comes_to_agree(story: Story) -> None:
    """Nothing was opened, so no epoch tells it: number and digest do, when both nodes rest.

    The new users get the revisions of those that are lost, and the peer has read these before.
    """
    agree(story, USERS)
    database(story, FileAction.COPY)
    story.x.client.generate_users(100, "balanced", "lost")
    agree(story, USERS + 100)
    database(story, FileAction.RESTORE)
    story.x.client.generate_users(100, "balanced", "new")
    agree(story, USERS + 200)
    seen = [record for node in story.pair.nodes for record in records(node, "users.differ")]
    assert USERS + 100 in {record["users_count"] for record in seen}
    assert any(records(node, "users.agree") for node in story.pair.nodes)
    for node in story.pair.nodes:
        for record in records(node, "users.differ"):
            assert record["level"] == "error"
