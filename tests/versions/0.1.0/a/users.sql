BEGIN TRANSACTION;
CREATE TABLE assigned (
        home TEXT PRIMARY KEY,
        users INTEGER NOT NULL CHECK (users >= 0)
    ) WITHOUT ROWID
    ;
INSERT INTO "assigned" VALUES('a',3);
INSERT INTO "assigned" VALUES('b',3);
CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "meta" VALUES('clock',1);
INSERT INTO "meta" VALUES('db_id','518082acf335ed6ef9bf35ef6a6c0fb7');
INSERT INTO "meta" VALUES('digest',2994970372697449111);
INSERT INTO "meta" VALUES('epoch','421d07ee6b942036');
INSERT INTO "meta" VALUES('probes',8);
INSERT INTO "meta" VALUES('users_revision',6);
CREATE TABLE peer (
        db_id TEXT PRIMARY KEY,
        cursor INTEGER NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "peer" VALUES('af04bbdf54660856a15a3324fbac7da5',6);
CREATE TABLE placement (
        home TEXT PRIMARY KEY,
        serving TEXT NOT NULL,
        op INTEGER NOT NULL,
        by_node TEXT NOT NULL
    ) WITHOUT ROWID
    ;
INSERT INTO "placement" VALUES('a','b',5,'b');
INSERT INTO "placement" VALUES('b','b',5,'b');
CREATE TABLE users (
        user_id TEXT PRIMARY KEY,
        home TEXT,
        stamp INTEGER NOT NULL,
        origin TEXT NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
        revision INTEGER NOT NULL UNIQUE
    ) WITHOUT ROWID
    ;
INSERT INTO "users" VALUES('user00001','a',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,1);
INSERT INTO "users" VALUES('user00002','b',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,2);
INSERT INTO "users" VALUES('user00003','a',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,3);
INSERT INTO "users" VALUES('user00004','b',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,4);
INSERT INTO "users" VALUES('user00005','a',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,5);
INSERT INTO "users" VALUES('user00006','b',1,'518082acf335ed6ef9bf35ef6a6c0fb7',0,6);
CREATE VIEW served_by AS
    SELECT users.user_id, users.home, ifnull(placement.serving, users.home) AS serving
    FROM users LEFT JOIN placement ON placement.home = users.home
    WHERE users.deleted = 0;
CREATE TRIGGER user_added AFTER INSERT ON users WHEN NEW.deleted = 0
    BEGIN
        INSERT INTO assigned VALUES (ifnull(NEW.home, ''), 1)
        ON CONFLICT (home) DO UPDATE SET users = users + 1;
    END;
CREATE TRIGGER user_changed AFTER UPDATE OF home, deleted ON users
    WHEN OLD.home IS NOT NEW.home OR OLD.deleted <> NEW.deleted
    BEGIN
        UPDATE assigned SET users = users - 1
        WHERE home = ifnull(OLD.home, '') AND OLD.deleted = 0;
        INSERT INTO assigned SELECT ifnull(NEW.home, ''), 1 WHERE NEW.deleted = 0
        ON CONFLICT (home) DO UPDATE SET users = users + 1;
    END;
CREATE TRIGGER user_erased AFTER DELETE ON users WHEN OLD.deleted = 0
    BEGIN
        UPDATE assigned SET users = users - 1 WHERE home = ifnull(OLD.home, '');
    END;
COMMIT;
PRAGMA application_id = 1397902660;
PRAGMA user_version = 3;
