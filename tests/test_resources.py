from unet_edu import resources


def test_the_manifest_is_at_hand():
    assert resources.data_path("manifest.json").is_file()


def test_installed_files_come_before_those_of_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "unet_edu"
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    assert resources.data_path("weights/net") == tmp_path / "data" / "weights" / "net"
    (package / "_data" / "weights").mkdir(parents=True)
    (package / "_data" / "weights" / "net").touch()
    assert resources.data_path("weights/net") == package / "_data" / "weights" / "net"
