"""Contact sheets of a dataset and of a collection of photos."""

from __future__ import annotations

from PIL import Image

from ghibli_studio.curation import collection as collections
from ghibli_studio.curation.photos import Photo
from ghibli_studio.data import dataset as datasets
from ghibli_studio.data.file_source import read_plain
from ghibli_studio.imaging.contact_sheet import Cell, page_cells, sheet
from ghibli_studio.imaging.crop import crop
from ghibli_studio.imaging.image_io import open_image
from ghibli_studio.workspace.project import Project


def dataset_sheet(project: Project, page: int = 1) -> Image.Image:
    """A page of the data set, counted from 1: the photograph, where there is one, and what is learned from."""
    items = datasets.load(project).items
    cells = []
    for item in page_cells(items, page):
        picture = next(datasets.images(project, [item]))
        photograph = datasets.photograph(project, item)
        pictures = (picture,) if photograph is None else (crop(photograph, (0.5, 0.5), picture.width), picture)
        cells.append(Cell(f"{item.id} {item.landmark} ({item.split})", pictures))
    return sheet(cells)


def collection_sheet(project: Project, page: int = 1) -> Image.Image:
    """A page of the collection, counted from 1: the crop of each photograph and its accepted, else newest, picture."""
    collection = collections.load(project)
    return sheet([_photo_cell(project, photo, collection.resolution) for photo in page_cells(collection.photos, page)])


def _photo_cell(project: Project, photo: Photo, resolution: int) -> Cell:
    pictures = [crop(collections.picture(project, photo), photo.center, resolution)]
    attempt = photo.accepted or (photo.attempts[-1] if photo.attempts else None)
    if attempt:
        pictures.append(open_image(read_plain(project.collection.styled(attempt.file), attempt.file), attempt.file))
    return Cell(f"{photo.id} {photo.name or photo.original} ({photo.state})", tuple(pictures))
