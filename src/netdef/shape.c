typedef int netdef_room;
